"""What `manage.sh` calls: the layers, Terraform's files, the export of a bucket."""
