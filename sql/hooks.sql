-- The events, and what hears them, for review.
SELECT e.event, e.ids, e.description
FROM rapport.hook_event AS e
ORDER BY e.event COLLATE "C";

SELECT h.event, h.ord, h.call
FROM rapport.hook AS h
ORDER BY h.event COLLATE "C", h.ord, h.call COLLATE "C";

-- every hook is for an event that is declared
SELECT h.event FROM rapport.hook AS h WHERE NOT EXISTS (SELECT FROM rapport.hook_event AS e WHERE e.event = h.event);
