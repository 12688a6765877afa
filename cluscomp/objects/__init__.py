"""Object stores: addresses such as s3://bucket/folder, and what is read from and written to them."""
