\set n random(1, :conversations)
\set conversation :client_id * :conversations + :n
\set name random(1, 1000000000000000)
INSERT INTO plain_message (conversation_id, seq, sender_id, sent_at, client_id, body)
VALUES (:conversation, nextval('plain_seq'), :client_id, now(), :name::text, 'Shall we meet at the cafe by the river around six?');
