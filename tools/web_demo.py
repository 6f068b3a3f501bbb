#!/usr/bin/env python3
"""A web page that shows what sounds in a video: upload one, watch the result, see when which object sounds.

    tools/web_demo.py --config-file configs/stamps/stamps_s4_R18.yaml --examples output/demo/video/demo.mp4 \\
        MODEL.WEIGHTS output/demo/model_best.pth

One model serves all who have the page open, one after the other. Their files lie in a folder of their own, which goes
when they leave, and with the program at the latest. The page is for this machine alone, unless --host says otherwise.
"""

from transavs.command_line import DEFAULT_MODEL, CommandParser, run
from transavs.engine.devices import fall_back_to_cpu
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file(default=DEFAULT_MODEL)
    parser.add_argument("--examples", nargs="+", default=[], metavar="VIDEO", help="for the page; files, folders")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: %(default)s); 0.0.0.0 is all"
    )
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--max-megabytes", type=int, default=200, help="of an upload (default: %(default)s)")
    parser.add_argument("--max-seconds", type=int, default=120, help="of a video (default: %(default)s)")
    parser.add_argument("--max-frames", type=int, default=7200, help="of a video (default: %(default)s)")
    parser.add_argument(
        "--max-gigapixels",
        type=float,
        default=8,
        help="of a video's frames together (default: %(default)s; two minutes of 1920x1080 have 7.5)",
    )
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    cfg = parser.read_config(args.config_file, args.opts)
    examples = parser.find_videos("--examples", args.examples)
    parser.check_weights(cfg)
    parser.check_packages("the web page", ["gradio"])
    from transavs.web.limits import Limits
    from transavs.web.serving import serve  # which takes seconds to import

    fall_back_to_cpu(cfg)
    limits = Limits(args.max_seconds, args.max_frames, args.max_gigapixels)
    serve(cfg, examples, args.host, args.port, args.max_megabytes, limits)


if __name__ == "__main__":
    run(main, WeightsError, OSError)
