"""The rules that everything we deploy keeps. test_rules.py holds them over every case, and shows for each a change that it notices."""

from tests.policy.rules import airflow, pods, security, volumes
from tests.policy.rules.registry import RULES

__all__ = ["RULES", "airflow", "pods", "security", "volumes"]
