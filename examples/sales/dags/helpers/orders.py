"""Rules on orders, free of any scheduler, so that they are tested like any other code."""


def is_complete(order):
    """An order counts once it has a region and an amount."""
    return bool(order.get("region")) and order.get("amount") is not None


def total_by_region(orders):
    """Sum of amounts per region."""
    totals = {}
    for order in orders:
        totals[order["region"]] = totals.get(order["region"], 0.0) + order["amount"]
    return totals
