-- Whose children stay zombies the longest before they are reaped?
SELECT coalesce(image, container, 'host') AS place, reaper_comm,
  sum(processes) AS reaped, round(sum(zombie_ns) / 1e9, 1) AS zombie_s,
  round(max(longest_zombie_ns) / 1e9, 1) AS longest_s
FROM processes
GROUP BY coalesce(image, container, 'host'), reaper_comm
ORDER BY zombie_s DESC, reaped DESC, place, reaper_comm
LIMIT 50
