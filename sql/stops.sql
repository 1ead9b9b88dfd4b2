-- Which services wasted the most time before they were killed, by day?
SELECT day, coalesce(image, container, comm) AS service,
  count(*) AS stops, count(CASE WHEN is_killed THEN 1 END) AS killed,
  round(sum(wasted_ns) / 1e9, 1) AS wasted_s, round(max(took_ns) / 1e9, 1) AS longest_s
FROM stops
GROUP BY day, coalesce(image, container, comm)
ORDER BY wasted_s DESC, stops DESC, day, service
LIMIT 50
