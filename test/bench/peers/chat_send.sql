\if :started = 0
SELECT rapport.act_as((SELECT person_id FROM sender WHERE client = :client_id));
\set started 1
\endif
\set n random(1, :conversations)
\set conversation :client_id * :conversations + :n
\set name random(1, 1000000000000000)
SELECT (rapport.send_message(:conversation, :name::text, 'Shall we meet at the cafe by the river around six?')).seq;
