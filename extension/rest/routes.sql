-- The whole REST surface on one page. Arguments and texts come from the functions.

INSERT INTO rapport.route (method, path, call, role, lane, success, tag, builtin) VALUES
	('GET', '/v1/errors', 'rapport.error_codes', 'anon', 'read', 200, 'service', true),

	('POST', '/v1/sign-up', 'rapport.sign_up', 'anon', 'heavy', 200, 'account', true),
	('POST', '/v1/sign-in', 'rapport.sign_in', 'anon', 'heavy', 200, 'account', true),
	('POST', '/v1/sessions/refresh', 'rapport.refresh_session', 'anon', 'write', 200, 'account', true),
	('GET', '/v1/sessions', 'rapport.sessions', 'user', 'read', 200, 'account', true),
	('DELETE', '/v1/sessions/current', 'rapport.sign_out', 'user', 'write', 200, 'account', true),
	('DELETE', '/v1/sessions/{session_id}', 'rapport.revoke_session', 'user', 'write', 200, 'account', true),
	('GET', '/v1/account', 'rapport.my_account', 'user', 'read', 200, 'account', true),
	('PUT', '/v1/account/password', 'rapport.change_password', 'user', 'heavy', 200, 'account', true),

	('GET', '/v1/attributes', 'rapport.attributes', 'anon', 'read', 200, 'profile', true),
	('GET', '/v1/me', 'rapport.my_profile', 'user', 'read', 200, 'profile', true),
	('PATCH', '/v1/me', 'rapport.update_profile', 'user', 'write', 200, 'profile', true),
	('PUT', '/v1/me/place', 'rapport.set_place', 'user', 'write', 200, 'profile', true),
	('PUT', '/v1/me/preferences/{mode}', 'rapport.set_preference', 'user', 'write', 200, 'profile', true),

	('GET', '/v1/blocks', 'rapport.blocks', 'user', 'read', 200, 'safety', true),
	('PUT', '/v1/blocks/{person_id}', 'rapport.block', 'user', 'write', 200, 'safety', true),
	('DELETE', '/v1/blocks/{person_id}', 'rapport.unblock', 'user', 'write', 200, 'safety', true),

	('GET', '/v1/discover', 'rapport.discover', 'user', 'read', 200, 'match', true),
	('GET', '/v1/discover/count', 'rapport.count_discoverable', 'user', 'read', 200, 'match', true),
	('GET', '/v1/people/{person_id}', 'rapport.person', 'user', 'read', 200, 'match', true),
	('GET', '/v1/people/{person_id}/match', 'rapport.explain_match', 'user', 'read', 200, 'match', true),
	('POST', '/v1/people/{person_id}/like', 'rapport.like', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/super-like', 'rapport.super_like', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/pass', 'rapport.pass', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/maybe', 'rapport.maybe', 'user', 'write', 200, 'match', true),
	('POST', '/v1/rewind', 'rapport.rewind', 'user', 'write', 200, 'match', true),
	('GET', '/v1/quotas', 'rapport.quotas', 'user', 'read', 200, 'match', true),
	('GET', '/v1/likes', 'rapport.likes_received', 'user', 'read', 200, 'match', true),
	('GET', '/v1/matches', 'rapport.matches', 'user', 'read', 200, 'match', true),
	('DELETE', '/v1/matches/{person_id}', 'rapport.unmatch', 'user', 'write', 200, 'match', true),

	('GET', '/v1/admin/scoring-profiles', 'rapport.scoring_profiles', 'admin', 'read', 200, 'admin', true),
	('PUT', '/v1/admin/scoring-profiles/{name}', 'rapport.set_scoring_profile', 'admin', 'write', 200, 'admin', true),
	('DELETE', '/v1/admin/scoring-profiles/{name}', 'rapport.drop_scoring_profile', 'admin', 'write', 200, 'admin', true),
	('PUT', '/v1/admin/modes/{mode}/scoring', 'rapport.set_mode_scoring', 'admin', 'write', 200, 'admin', true),

	('GET', '/v1/conversations', 'rapport.conversations', 'user', 'read', 200, 'chat', true),
	('GET', '/v1/conversations/{conversation_id}/messages', 'rapport.messages', 'user', 'read', 200, 'chat', true),
	('POST', '/v1/conversations/{conversation_id}/messages', 'rapport.send_message', 'user', 'write', 201, 'chat', true),
	('PUT', '/v1/conversations/{conversation_id}/read', 'rapport.mark_read', 'user', 'write', 200, 'chat', true);

INSERT INTO rapport.route (method, path, call, role, lane, timeout_ms, success, tag, builtin) VALUES
	-- Not DELETE: a body, here the password, has no meaning there.
	('POST', '/v1/account/erase', 'rapport.delete_my_account', 'user', 'heavy', 60000, 200, 'account', true),
	('GET', '/v1/account/export', 'rapport.export_my_data', 'user', 'heavy', 60000, 200, 'account', true);

UPDATE rapport.route SET reason = 'rapport.discover_reason' WHERE call = 'rapport.discover' AND builtin;
