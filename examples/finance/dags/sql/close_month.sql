INSERT INTO closing_entries (ledger, month, amount)
SELECT ledger, :month, sum(debit - credit)
FROM postings
WHERE month = :month
GROUP BY ledger
