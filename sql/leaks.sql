-- Who leaks zombies, on how many hosts, and since when does which image do so?
SELECT coalesce(image, container, 'host') AS place, comm, rule,
  sum(findings) AS findings, count(DISTINCT host) AS hosts, min(day) AS since, max(day) AS latest
FROM findings
WHERE rule IN ('zombie-leak', 'unreaped-child', 'orphan-adopted') AND stage = 'new'
GROUP BY coalesce(image, container, 'host'), comm, rule
ORDER BY findings DESC, place, comm, rule
LIMIT 50
