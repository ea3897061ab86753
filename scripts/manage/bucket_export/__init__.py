"""A bucket's whole content in a folder, and a bucket emptied of exactly what such a folder holds.

    python -m scripts.manage.bucket_export count  --bucket B --region R --environment E
    python -m scripts.manage.bucket_export export --bucket B --region R --environment E DIR
    python -m scripts.manage.bucket_export empty  --bucket B --region R --environment E --exported DIR

Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 no such bucket, 130 interrupted.

    DIR/export.json                       which bucket, when, how much, and the SHA-256 of the index
    DIR/index.jsonl                       a line for each version and delete marker: key, version id, metadata, SHA-256 of the bytes
    DIR/objects/<2 hex>/<sha256>          the bytes, by content: keys may be no file names, and a rollback stores the same bytes again
    DIR/live/<package>/dags/              what each package's pointer names, made anew by each export
    DIR/journal.jsonl, partial/           of an export that is not finished

An export only grows: run again, it fetches what is missing or damaged, and what left the bucket meanwhile stays in it.

The way back is to publish: `airflow-dag-publisher publish --package-name P --dags-dir DIR/live/P/dags`. An older version of a
file is in `objects` under the SHA-256 that its line of the index names.
"""
