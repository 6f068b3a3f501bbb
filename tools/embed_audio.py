#!/usr/bin/env python3
"""Computes the features of all sounds ahead, once, where the audio backbone is frozen and sounds are not augmented.

    tools/embed_audio.py --config-file configs/avs_s4_R101.yaml --output output/avs_s4_vggish.safetensors
    tools/train_net.py --config-file configs/avs_s4_R101.yaml INPUT.AUDIO.EMBEDDINGS output/avs_s4_vggish.safetensors

The sounds are those of DATASETS.TRAIN, VAL and TEST, the weights those that training starts from. A sound counts by
what its file holds: one that has changed since is computed as if it were not there. Features that were made with other
audio settings or by other weights are refused.
"""

from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from transavs.command_line import CommandParser, run
from transavs.data.corrupt_clips import UNREADABLE
from transavs.engine import trainer
from transavs.engine.audio_embedding import clips_with_sounds, embed_sounds, trained_audio_backbone, write_embeddings
from transavs.engine.devices import fall_back_to_cpu
from transavs.weights.published import WeightsError
from transavs.weights.writing import OutputError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_output_file()
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_new_output(args.output)
    cfg = parser.read_config(args.config_file, args.opts)
    setup_logger(name="transavs")
    fall_back_to_cpu(cfg)
    trainer.check_datasets(cfg)
    audio_backbone = trained_audio_backbone(cfg)
    clips = clips_with_sounds(cfg)
    features = dict(tqdm(embed_sounds(cfg, clips, audio_backbone), total=len(clips), unit="sound"))
    write_embeddings(args.output, cfg, features, audio_backbone)
    print(f"{len(features)} sounds of {len(clips)} clips: {args.output}")


if __name__ == "__main__":
    run(main, *UNREADABLE, WeightsError, OutputError)
