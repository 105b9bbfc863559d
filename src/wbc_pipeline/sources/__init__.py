"""One module per public data set: its layout on disk becomes rows of a listing.

A source module has ``PUBLIC_NAME`` (the name of the download), ``FOLDER`` (its folder below the
raw root), ``ONE_IMAGE_PER_CELL`` (whether an image of unknown source counts as its own),
``LICENCE`` (of the images; ``not stated`` where this project does not know it), ``CAVEATS`` (what a
reader of scores must know) and ``list_images(raw, **options)``; :mod:`.listing` says what a listing
is. Where images are augmented copies, ``list_originals(raw)`` lists what they were made from; where
objects are annotated, ``list_boxes(raw, **options)`` lists their boxes. What users bring of masks
and boxes is read by :mod:`.annotations`.

Images are listed, never opened; tables and annotations beside them are read. What is wrong with one
image becomes the ``problem`` of its row; what is wrong with the whole data set is an error.
"""
