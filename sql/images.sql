-- Does a release do worse than the one before? Findings of each image, for each day and host that ran it.
WITH ran AS (
  SELECT image, count(DISTINCT concat(host, ' ', cast(day AS STRING))) AS host_days FROM processes
  WHERE image IS NOT NULL GROUP BY image
), found AS (
  SELECT image, rule, sum(findings) AS findings FROM findings
  WHERE image IS NOT NULL AND stage = 'new' GROUP BY image, rule
)
SELECT found.image, rule, findings, host_days, round(1.0 * findings / host_days, 2) AS a_host_and_day
FROM found JOIN ran ON ran.image = found.image
ORDER BY found.image, rule
