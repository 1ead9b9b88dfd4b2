-- Which signals had no effect, where, and why?
SELECT coalesce(image, container, 'host') AS place, target_comm, signal, verdict,
  sum(signals) AS lost, count(DISTINCT host) AS hosts
FROM signals
WHERE is_lost
GROUP BY coalesce(image, container, 'host'), target_comm, signal, verdict
ORDER BY lost DESC, place, target_comm, signal, verdict
LIMIT 50
