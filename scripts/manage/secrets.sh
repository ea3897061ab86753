# The secrets of an environment: which it needs, what is in them, and how they are made. Sourced by charts.sh.
# shellcheck shell=bash disable=SC2154 # its variables are manage.sh's

secrets() {
  echo airflow-keys airflow-admin airflow-database
  [[ $executor != celery ]] || echo airflow-broker
  [[ " $options " != *" postgresql-tls "* ]] || echo airflow-database-tls
  [[ " $options " != *" flower "* ]] || echo airflow-flower
}

keys_of() { # NAME
  case $1 in
    airflow-keys) echo fernet-key api-secret-key jwt-secret ;;
    airflow-admin) echo username password ;;
    airflow-broker) if own_broker; then echo connection; else echo password connection; fi ;;
    airflow-database-tls) echo ca.crt tls.crt tls.key ;;
    airflow-flower) echo basicAuth ;;
    airflow-database) if [[ $platform == pi ]]; then echo postgres-password connection; else echo connection kedaConnection pgbouncer-stats users.txt pgbouncer.ini; fi ;;
  esac
}

own_broker() { [[ " $options " == *" own-broker "* ]]; }

# Each line can be run by hand. Contents go through files, so that no process list shows them; `create` never overwrites.
secret_line() { # NAME
  local create="kubectl create secret generic $1 --namespace $namespace"
  case $1 in
    airflow-keys) echo "$create --from-file=fernet-key=<(openssl rand -base64 32 | tr '+/' '-_' | tr -d '[:space:]') --from-file=api-secret-key=<(openssl rand -hex 32 | tr -d '[:space:]') --from-file=jwt-secret=<(openssl rand -hex 64 | tr -d '[:space:]')" ;;
    airflow-admin) echo "$create --from-literal=username=admin --from-file=password=<(openssl rand -hex 16 | tr -d '[:space:]')" ;;
    airflow-broker)
      if own_broker; then
        echo "python3 -m scripts.manage.broker_secret | kubectl create --namespace $namespace --filename -"
        return
      fi
      echo "password=\$(openssl rand -hex 24) && $create --from-file=password=<(printf %s \"\$password\") --from-file=connection=<(printf 'redis://:%s@airflow-redis:6379/0' \"\$password\")"
      ;;
    airflow-database-tls) echo "key=\$(openssl ecparam -genkey -name prime256v1 -noout) && certificate=\$(openssl req -x509 -key <(echo \"\$key\") -days 3650 -subj /CN=airflow-postgresql -addext subjectAltName=DNS:airflow-postgresql.$namespace,DNS:airflow-postgresql.$namespace.svc) && $create --from-file=tls.key=<(echo \"\$key\") --from-file=tls.crt=<(echo \"\$certificate\") --from-file=ca.crt=<(echo \"\$certificate\")" ;;
    airflow-flower) echo "$create --from-file=basicAuth=<(printf flower:; openssl rand -hex 16 | tr -d '[:space:]')" ;;
    airflow-database)
      if [[ $platform == pi ]]; then
        echo "password=\$(openssl rand -hex 24) && $create --from-file=postgres-password=<(printf %s \"\$password\") --from-file=connection=<(printf 'postgresql://postgres:%s@airflow-postgresql.$namespace:5432/postgres' \"\$password\")"
      else
        echo "python3 -m scripts.manage.database_secret | kubectl create --namespace $namespace --filename -"
      fi
      ;;
  esac
}

# Before anything is touched: what is there must have what its pods read, and what is not there must be possible to make.
check_secrets() {
  local name found key lacks problems='' keys
  # shellcheck disable=SC2016 # kubectl's variables
  keys='there{{range $key, $value := .data}}{{if $value}} {{$key}}{{end}}{{end}}'
  missing=()
  for name in $(secrets); do
    found=$(kubectl get secret "$name" --namespace "$namespace" --ignore-not-found --output go-template="$keys") \
      || fail 1 "the secrets in $namespace cannot be read; nothing was changed."
    [[ -n $found ]] || { missing+=("$name"); continue; }
    lacks=()
    for key in $(keys_of "$name"); do
      [[ " $found " == *" $key "* ]] || lacks+=("$key")
    done
    [[ ${#lacks[@]} -eq 0 ]] || problems+="${problems:+, }$name has no ${lacks[*]}"
  done
  [[ -z $problems ]] || fail 2 "pods of $env read keys that secrets in $namespace lack: $problems; nothing was touched. Add them, or delete a secret that nothing uses any more: deploy makes a new one."
  if [[ " ${missing[*]} " == *" airflow-database "* && $platform == cloud ]]; then
    [[ -n ${AIRFLOW_DATABASE_URL-} ]] || fail 2 "the secret airflow-database is not there; set AIRFLOW_DATABASE_URL=postgresql://user:password@host:5432/database once, and deploy makes it."
    (cd "$top" && python3 -m scripts.manage.database_secret) >/dev/null || fail 1 "nothing was touched."
    if [[ $AIRFLOW_DATABASE_URL == *sslmode=verify-* ]] && [[ -z $(kubectl get secret airflow-database-tls --namespace "$namespace" --ignore-not-found --output jsonpath='{.data.ca\.crt}') ]]; then
      fail 2 "AIRFLOW_DATABASE_URL asks to verify the database's certificate, and the secret airflow-database-tls in $namespace has no ca.crt; make it first: kubectl create secret generic airflow-database-tls --namespace $namespace --from-file=ca.crt=FILE (docs/how-to/networks.md)."
    fi
  fi
  if [[ " ${missing[*]} " == *" airflow-broker "* ]] && own_broker; then
    [[ -n ${AIRFLOW_BROKER_URL-} ]] || fail 2 "the secret airflow-broker is not there; set AIRFLOW_BROKER_URL=rediss://:password@host:6379/0 once, and deploy makes it."
    (cd "$top" && python3 -m scripts.manage.broker_secret) >/dev/null || fail 1 "nothing was touched."
  fi
  if [[ " ${missing[*]} " == *" airflow-keys "* ]] && kubectl get secret airflow-fernet-key --namespace "$namespace" >/dev/null 2>&1; then
    fail 2 "a release with the chart's own fernet key is there (secret airflow-fernet-key), and with another key its stored connections cannot be read; make airflow-keys of it first: docs/how-to/from-the-incident.md, $([[ $platform == cloud ]] && echo "from any other release" || echo "step 4")."
  fi
}

make_secrets() {
  local name
  for name in "${missing[@]}"; do
    run "$(secret_line "$name")" >&2 || fail 1 "the secret $name could not be made; nothing was deployed."
  done
}
