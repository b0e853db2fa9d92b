"""Acts upon buckets through the S3 API: reads one JSON object a line, and does them in order.

Usage: objects.py ENDPOINT < acts

Runs in the environment of moto, which has boto3, the S3 client of AWS.
"""

import json
import sys
from pathlib import Path

import boto3


def create(s3, bucket: str, region: str):
    """Makes a bucket that anonymous clients may read, as archeio's are."""
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
    # In S3, `s3:GetObject` allows HEAD too; for moto that is an action of its own.
    actions = ["s3:GetObject", "s3:HeadObject"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))


def put(s3, bucket: str, key: str, file: str):
    s3.put_object(Bucket=bucket, Key=key, Body=Path(file).read_bytes())


def delete(s3, bucket: str, key: str):
    s3.delete_object(Bucket=bucket, Key=key)


def main():
    acts = {"create": create, "put": put, "delete": delete}
    s3 = {}
    for line in sys.stdin:
        act = json.loads(line)
        region = act.pop("in")
        if region not in s3:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            s3[region] = boto3.client("s3", region_name=region, endpoint_url=sys.argv[1], **keys)
        acts[act.pop("act")](s3[region], **act)


if __name__ == "__main__":
    main()
