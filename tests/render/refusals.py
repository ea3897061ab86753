"""What cannot work, and the sentence that says so: by Helm alone, whoever calls it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.helpers.charts import Case, combination, with_options


@dataclass(frozen=True)
class Wrong:
    """A deployment that must be refused.

    Args:
        case: on which layers.
        arguments: of Helm, on top.
        says: what the refusal has to name: both keys, and the way out.
        outputs: whether it has the outputs of Terraform.
    """

    case: Case
    arguments: tuple[str, ...]
    says: tuple[str, ...]
    outputs: bool = True

    def __str__(self) -> str:
        return f"{self.case} {' '.join(self.arguments)}" + ("" if self.outputs else " without outputs")


S3, GIT, IMAGE = (combination(delivery, "local") for delivery in ("s3-sync", "git-sync", "image"))
PI = combination("s3-sync", "local", "pi", "pi")
BARE = {d: replace(combination(d, "local"), extra=()) for d in ("image", "configmap", "git-bundle", "git-sync")}
BUNDLE_ON_PI = combination("dag-bundle", "local", "pi", "pi")

OFFICIAL = [
    Wrong(S3, ("--set", "dags.persistence.enabled=true"), ("dags.persistence.enabled", "delivery/shared-volume", "ReadWriteMany")),
    Wrong(GIT, ("--set", "dags.persistence.enabled=true"), ("dags.persistence.enabled", "delivery/git-sync")),
    Wrong(S3, ("--set", "dags.gitSync.enabled=true"), ("dags.gitSync.enabled", "delivery is s3-sync", "keep one layer")),
    Wrong(GIT, ("--set", "dags.gitSync.ref=v1"), ("dags.gitSync.branch", "dags.gitSync.ref", "set both")),
    Wrong(S3, ("--set", "dagProcessor.replicas=2"), ("dagProcessor.replicas", "config.dag_processor.parsing_processes")),
    Wrong(S3, ("--set", "flower.enabled=true"), ("executor is LocalExecutor", "flower.enabled", "executor/celery")),
    Wrong(S3, ("--set", "workers.celery.hpa.enabled=true"), ("executor is LocalExecutor", "workers.celery.hpa", "executor/celery")),
    Wrong(S3, ("--set", "workers.celery.keda.enabled=true"), ("executor is LocalExecutor", "workers.celery.keda", "executor/celery")),
    Wrong(S3, (), ("bucket", "scripts/manage.sh output ENV"), outputs=False),
    Wrong(IMAGE, (), ("bucket, region or roles", "scripts/manage.sh output ENV"), outputs=False),
    Wrong(with_options(IMAGE, "own-store"), (), ("bucket or region", "docs/how-to/networks.md"), outputs=False),
    Wrong(with_options(S3, "own-broker"), (), ("executor is LocalExecutor", "executor/celery")),
    Wrong(with_options(S3, "postgresql-tls"), (), ("postgresql.enabled=false", "sslmode=verify-full")),
    Wrong(PI, (), ("delivery is s3-sync", "bucket", "delivery/git-sync")),
    Wrong(BUNDLE_ON_PI, (), ("delivery is dag-bundle", "bucket", "delivery/git-bundle")),
    Wrong(BARE["image"], (), ("delivery is image", "defaultAirflowRepository", "examples/image/Dockerfile")),
    Wrong(BARE["configmap"], (), ("delivery is configmap", "dagsConfigMap.package", "airflow-dag-publisher configmap")),
    Wrong(BARE["git-sync"], (), ("delivery is git-sync", "dags.gitSync.repo", "dags.gitSync.subPath")),
    Wrong(BARE["git-bundle"], (), ("delivery is git-bundle", "gitBundle.repo", "gitBundle.subPath")),
]  # fmt: skip

OURS = [
    Wrong(S3, (), ("environment is not set", "scripts/manage.sh output ENV"), outputs=False),
    Wrong(S3, ("--set", "roles.dag_adopter="), ("dagAdopter.enabled", "roles.dag_adopter", "scripts/manage.sh output ENV")),
    Wrong(GIT, ("--set", "environment="), ("environment is not set", "scripts/manage.sh output ENV")),
    Wrong(S3, ("--set", "packages.sales_eu.x=y"), ("packages sales and sales_eu", "one is the other's plus")),
    Wrong(S3, ("--set-json", 'networkPolicies.packages={"sale":{"egress":{"x":{"cidrs":["192.0.2.7/32"],"ports":[22]}}}}'), ("networkPolicies.packages.sale", "no such package", "finance, risk_reports, sales")),
    Wrong(S3, ("--set", "dagsVolume.enabled=true"), ("dagsVolume.enabled", "dagsVolume.storageClassName", "ReadWriteMany")),
    Wrong(S3, ("--set", "executor=SequentialExecutor"), ("executor", "LocalExecutor")),
    Wrong(S3, ("--set", "jobs.quotas=1"), ("jobs", "quotas")),
    Wrong(S3, ("--set", "dagAdoptr.enabled=true"), ("dagAdoptr",)),
    Wrong(S3, ("--set", "image.tag=latest"), ("image", "tag")),
    Wrong(S3, ("--set", "packages.Sales=null"), ("Sales",)),  # Helm names another place: a fault of its schema library
]  # fmt: skip
