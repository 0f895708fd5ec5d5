"""COCO-style JSON: images, categories, and one annotation an image."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from datadiet.exporting.files import write_numbered
from datadiet.exporting.findings import attributes
from datadiet.exporting.subset import Subset

IMAGES, ANNOTATIONS = 'images', 'annotations.json'


def write_coco(
  subset: Subset, folder: Path, final: Path, *, link: bool = False
) -> None:
  """Writes images/ and annotations.json, which pycocotools opens.

  COCO knows boxes and no classes of whole images (Lin et al. 2014, arXiv
  1405.0312): each annotation's box is its whole image. Ids of images and
  annotations are example_index + 1, since tools take 0 for none; `score` is the
  probability that the label is right, where there is one; `attributes` has what
  was found out, by the names of the table of scores.

  Raises:
    DataDietError: if nothing was scored, or there are no files to link to.
  """
  del final
  found = attributes(subset)
  folder.mkdir()
  paths = write_numbered(subset, folder / IMAGES, link)
  images, annotations = [], []
  labels = subset.dataset.train.labels[subset.example_index]
  for path, label, facts in zip(paths, labels.tolist(), found, strict=True):
    number = facts['example_index'] + 1
    with Image.open(path) as image:
      width, height = image.size
    images.append(
      {'id': number, 'file_name': path.name, 'width': width, 'height': height}
    )
    annotation = {
      'id': number,
      'image_id': number,
      'category_id': label + 1,
      'bbox': [0, 0, width, height],
      'area': width * height,
      'iscrowd': 0,
      'attributes': facts,
    }
    if 'probability' in facts:
      annotation['score'] = 1 - facts['probability']
    annotations.append(annotation)
  names = subset.dataset.class_names
  content = {
    'info': {'description': subset.title},
    'licenses': [],
    'images': images,
    'categories': [
      {'id': label + 1, 'name': name, 'supercategory': ''}
      for label, name in enumerate(names)
    ],
    'annotations': annotations,
  }
  (folder / ANNOTATIONS).write_text(
    json.dumps(content, default=np.generic.item)
  )
