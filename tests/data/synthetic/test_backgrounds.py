from transavs.data.synthetic.backgrounds import load_backgrounds


def test_no_background_is_in_two_splits(backgrounds_root):
    photographs = load_backgrounds(backgrounds_root, 32)
    greys = {split: {photo.picture.getpixel((0, 0))[0] for photo in photos} for split, photos in photographs.items()}
    assert sorted(map(len, greys.values())) == [1, 2, 3]
    assert sorted(set.union(*greys.values())) == [0, 40, 80, 120, 160, 200]
