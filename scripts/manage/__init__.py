"""What `manage.sh` calls: layers, renders, Terraform's files, the bucket of states, the database's Secret, the export of a bucket."""
