"""The ledgers and what holds for them."""

LEDGERS = ["general", "payable", "receivable"]


def is_balanced(balance):
    """Debit equals credit, to the cent."""
    return round(balance["debit"] - balance["credit"], 2) == 0
