SELECT region, count(*) AS orders, sum(amount) AS amount
FROM orders
WHERE ordered_at >= :day AND ordered_at < :day + interval '1 day'
GROUP BY region
ORDER BY region
