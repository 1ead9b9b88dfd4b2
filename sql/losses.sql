-- How much was lost, by the version of the kernel? Of hosts that were not watched all the time, nothing is known then.
SELECT kernel, tracer_version, count(DISTINCT host) AS hosts,
  round(sum(until_ns - time_ns) / 3600e9, 1) AS watched_h, sum(events) AS events, sum(lost) AS lost,
  round(1e6 * sum(lost) / (sum(events) + sum(lost) + 1), 1) AS lost_in_a_million
FROM hosts
GROUP BY kernel, tracer_version
ORDER BY lost DESC, kernel, tracer_version
