"""What `manage.sh` calls: layers, Terraform's files, the bucket of states, the database's Secret, the export of a bucket."""
