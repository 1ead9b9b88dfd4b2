-- What was killed, by what, and how often?
SELECT comm, coalesce(image, container, 'host') AS place, signal, coalesce(other_comm, 'the kernel') AS killer,
  sum(findings) AS times, count(DISTINCT host) AS hosts, max(day) AS latest
FROM findings
WHERE rule IN ('killed-by', 'namespace-killed') AND stage = 'new'
GROUP BY comm, coalesce(image, container, 'host'), signal, coalesce(other_comm, 'the kernel')
ORDER BY times DESC, comm, place, signal, killer
LIMIT 50
