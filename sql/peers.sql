-- Which hosts differ from their peers: ten times as many findings of a rule as the host in the middle, or more?
WITH counts AS (
  SELECT host, rule, sum(findings) AS findings FROM findings WHERE stage = 'new' GROUP BY host, rule
), all_hosts AS (
  SELECT DISTINCT host FROM hosts
), filled AS (
  SELECT all_hosts.host, rules.rule, coalesce(counts.findings, 0) AS findings
  FROM all_hosts CROSS JOIN (SELECT DISTINCT rule FROM counts) AS rules
  LEFT JOIN counts ON counts.host = all_hosts.host AND counts.rule = rules.rule
), middle AS (
  SELECT rule, median(findings) AS usual FROM filled GROUP BY rule
)
SELECT filled.host, filled.rule, findings, usual
FROM filled JOIN middle ON middle.rule = filled.rule
WHERE findings >= 10 AND findings >= 10 * usual
ORDER BY findings DESC, filled.host, filled.rule
LIMIT 50
