\if :started = 0
SELECT rapport.act_as((SELECT person_id FROM crowd));
\set started 1
\endif
\set name random(1, 1000000000000000)
SELECT seq FROM rapport.send_message((SELECT conversation_id FROM crowd), :name::text, 'Shall we meet at the cafe by the river around six?');
