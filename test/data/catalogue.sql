-- The sample catalogue: 19 choices and a number. The first attribute is the
-- most selective one, because the match index clusters by it.
\set ON_ERROR_STOP on
\set QUIET on

BEGIN;

CREATE TEMPORARY TABLE wanted_attribute (ord integer, code text, kind text, strength text, en text, es text, ar text) ON COMMIT DROP;
INSERT INTO wanted_attribute VALUES
	(1, 'gender', 'choice', 'two_way', 'Gender', 'Género', 'الجنس'),
	(2, 'relationship', 'choice', 'two_way', 'Looking for', 'Busca', 'يبحث عن'),
	(3, 'children', 'choice', 'two_way', 'Children', 'Hijos', 'الأطفال'),
	(4, 'wants_children', 'choice', 'two_way', 'Wants children', 'Quiere hijos', 'يريد أطفالًا'),
	(5, 'smoking', 'choice', 'two_way', 'Smoking', 'Tabaco', 'التدخين'),
	(6, 'drinking', 'choice', 'two_way', 'Drinking', 'Alcohol', 'الكحول'),
	(7, 'cannabis', 'choice', 'two_way', 'Cannabis', 'Cannabis', 'القنّب'),
	(8, 'religion', 'choice', 'two_way', 'Religion', 'Religión', 'الدين'),
	(9, 'politics', 'choice', 'two_way', 'Politics', 'Política', 'السياسة'),
	(10, 'diet', 'choice', 'two_way', 'Diet', 'Dieta', 'النظام الغذائي'),
	(11, 'education', 'choice', 'one_way', 'Education', 'Estudios', 'التعليم'),
	(12, 'exercise', 'choice', 'soft', 'Exercise', 'Deporte', 'الرياضة'),
	(13, 'pets', 'choice', 'soft', 'Pets', 'Mascotas', 'الحيوانات الأليفة'),
	(14, 'sleep', 'choice', 'soft', 'Sleep', 'Sueño', 'النوم'),
	(15, 'work', 'choice', 'soft', 'Work', 'Trabajo', 'العمل'),
	(16, 'home', 'choice', 'soft', 'Lives', 'Vive', 'السكن'),
	(17, 'company', 'choice', 'soft', 'In company', 'En compañía', 'بين الناس'),
	(18, 'contact', 'choice', 'soft', 'Keeps in touch by', 'Se comunica por', 'يتواصل عبر'),
	(19, 'language', 'choice', 'soft', 'First language', 'Lengua materna', 'اللغة الأم'),
	(20, 'height', 'number', 'one_way', 'Height (cm)', 'Estatura (cm)', 'الطول (سم)');

CREATE TEMPORARY TABLE wanted_option (attribute text, ord integer, code text, en text, es text, ar text) ON COMMIT DROP;
INSERT INTO wanted_option VALUES
	('gender', 1, 'woman', 'Woman', 'Mujer', 'امرأة'),
	('gender', 2, 'man', 'Man', 'Hombre', 'رجل'),
	('gender', 3, 'nonbinary', 'Non-binary', 'No binario', 'غير ثنائي'),
	('relationship', 1, 'long_term', 'Something lasting', 'Algo duradero', 'علاقة دائمة'),
	('relationship', 2, 'short_term', 'Something light', 'Algo ligero', 'علاقة عابرة'),
	('relationship', 3, 'open', 'An open relationship', 'Una relación abierta', 'علاقة مفتوحة'),
	('relationship', 4, 'unsure', 'Not sure yet', 'Aún no lo sabe', 'غير متأكد بعد'),
	('children', 1, 'none', 'None', 'No tiene', 'لا يوجد'),
	('children', 2, 'at_home', 'At home', 'En casa', 'في البيت'),
	('children', 3, 'grown', 'Grown up', 'Mayores', 'كبار'),
	('wants_children', 1, 'yes', 'Yes', 'Sí', 'نعم'),
	('wants_children', 2, 'maybe', 'Maybe', 'Tal vez', 'ربما'),
	('wants_children', 3, 'no', 'No', 'No', 'لا'),
	('smoking', 1, 'never', 'Never', 'Nunca', 'أبدًا'),
	('smoking', 2, 'sometimes', 'Sometimes', 'A veces', 'أحيانًا'),
	('smoking', 3, 'daily', 'Daily', 'A diario', 'يوميًا'),
	('drinking', 1, 'never', 'Never', 'Nunca', 'أبدًا'),
	('drinking', 2, 'sometimes', 'Sometimes', 'A veces', 'أحيانًا'),
	('drinking', 3, 'often', 'Often', 'A menudo', 'كثيرًا'),
	('cannabis', 1, 'never', 'Never', 'Nunca', 'أبدًا'),
	('cannabis', 2, 'sometimes', 'Sometimes', 'A veces', 'أحيانًا'),
	('cannabis', 3, 'often', 'Often', 'A menudo', 'كثيرًا'),
	('religion', 1, 'none', 'None', 'Ninguna', 'لا دين'),
	('religion', 2, 'christian', 'Christian', 'Cristiana', 'مسيحي'),
	('religion', 3, 'muslim', 'Muslim', 'Musulmana', 'مسلم'),
	('religion', 4, 'hindu', 'Hindu', 'Hindú', 'هندوسي'),
	('religion', 5, 'buddhist', 'Buddhist', 'Budista', 'بوذي'),
	('religion', 6, 'jewish', 'Jewish', 'Judía', 'يهودي'),
	('religion', 7, 'other', 'Other', 'Otra', 'أخرى'),
	('politics', 1, 'left', 'Left', 'Izquierda', 'يسار'),
	('politics', 2, 'centre', 'Centre', 'Centro', 'وسط'),
	('politics', 3, 'right', 'Right', 'Derecha', 'يمين'),
	('politics', 4, 'none', 'Not interested', 'No le interesa', 'غير مهتم'),
	('diet', 1, 'everything', 'Everything', 'De todo', 'كل شيء'),
	('diet', 2, 'vegetarian', 'Vegetarian', 'Vegetariana', 'نباتي'),
	('diet', 3, 'vegan', 'Vegan', 'Vegana', 'نباتي صرف'),
	('diet', 4, 'fish', 'Fish, no meat', 'Pescado, sin carne', 'سمك دون لحم'),
	('diet', 5, 'halal', 'Halal', 'Halal', 'حلال'),
	('diet', 6, 'kosher', 'Kosher', 'Kosher', 'كوشر'),
	('education', 1, 'school', 'School', 'Escuela', 'مدرسة'),
	('education', 2, 'trade', 'A trade', 'Oficio', 'مهنة'),
	('education', 3, 'bachelor', 'Bachelor', 'Grado', 'بكالوريوس'),
	('education', 4, 'master', 'Master', 'Máster', 'ماجستير'),
	('education', 5, 'doctorate', 'Doctorate', 'Doctorado', 'دكتوراه'),
	('exercise', 1, 'never', 'Never', 'Nunca', 'أبدًا'),
	('exercise', 2, 'sometimes', 'Sometimes', 'A veces', 'أحيانًا'),
	('exercise', 3, 'weekly', 'Every week', 'Cada semana', 'كل أسبوع'),
	('exercise', 4, 'daily', 'Every day', 'Cada día', 'كل يوم'),
	('pets', 1, 'none', 'None', 'Ninguna', 'لا يوجد'),
	('pets', 2, 'dog', 'Dog', 'Perro', 'كلب'),
	('pets', 3, 'cat', 'Cat', 'Gato', 'قطة'),
	('pets', 4, 'other', 'Others', 'Otras', 'غير ذلك'),
	('sleep', 1, 'early', 'Early bird', 'Madruga', 'يستيقظ مبكرًا'),
	('sleep', 2, 'late', 'Night owl', 'Trasnocha', 'يسهر'),
	('sleep', 3, 'depends', 'It depends', 'Depende', 'حسب اليوم'),
	('work', 1, 'studying', 'Studying', 'Estudia', 'دراسة'),
	('work', 2, 'office', 'Office', 'Oficina', 'مكتب'),
	('work', 3, 'craft', 'Craft', 'Oficio manual', 'حرفة'),
	('work', 4, 'care', 'Care and teaching', 'Cuidados y enseñanza', 'رعاية وتعليم'),
	('work', 5, 'own', 'Own business', 'Negocio propio', 'عمل خاص'),
	('work', 6, 'between', 'Between jobs', 'Entre trabajos', 'بين وظيفتين'),
	('work', 7, 'retired', 'Retired', 'Jubilación', 'متقاعد'),
	('home', 1, 'alone', 'Alone', 'A solas', 'وحده'),
	('home', 2, 'shared', 'With flatmates', 'En piso compartido', 'سكن مشترك'),
	('home', 3, 'family', 'With family', 'Con la familia', 'مع العائلة'),
	('company', 1, 'quiet', 'Quiet', 'Reservada', 'هادئ'),
	('company', 2, 'between', 'In between', 'Intermedia', 'بين هذا وذاك'),
	('company', 3, 'lively', 'Lively', 'Animada', 'حيوي'),
	('contact', 1, 'texting', 'Texting', 'Mensajes', 'الرسائل'),
	('contact', 2, 'calls', 'Calls', 'Llamadas', 'المكالمات'),
	('contact', 3, 'in_person', 'Meeting', 'En persona', 'اللقاء'),
	('language', 1, 'en', 'English', 'Inglés', 'الإنجليزية'),
	('language', 2, 'es', 'Spanish', 'Español', 'الإسبانية'),
	('language', 3, 'pt', 'Portuguese', 'Portugués', 'البرتغالية'),
	('language', 4, 'fr', 'French', 'Francés', 'الفرنسية'),
	('language', 5, 'de', 'German', 'Alemán', 'الألمانية'),
	('language', 6, 'it', 'Italian', 'Italiano', 'الإيطالية'),
	('language', 7, 'tr', 'Turkish', 'Turco', 'التركية'),
	('language', 8, 'ru', 'Russian', 'Ruso', 'الروسية'),
	('language', 9, 'ar', 'Arabic', 'Árabe', 'العربية'),
	('language', 10, 'he', 'Hebrew', 'Hebreo', 'العبرية'),
	('language', 11, 'fa', 'Persian', 'Persa', 'الفارسية'),
	('language', 12, 'hi', 'Hindi', 'Hindi', 'الهندية'),
	('language', 13, 'zh', 'Chinese', 'Chino', 'الصينية'),
	('language', 14, 'ja', 'Japanese', 'Japonés', 'اليابانية'),
	('language', 15, 'ko', 'Korean', 'Coreano', 'الكورية'),
	('language', 16, 'id', 'Indonesian', 'Indonesio', 'الإندونيسية');

SELECT rapport.define_attribute(code => a.code, kind => a.kind, strength => a.strength,
	options => (SELECT array_agg(o.code ORDER BY o.ord) FROM wanted_option AS o WHERE o.attribute = a.code),
	-- One lane of 7 options, three for 23.
	lanes => CASE WHEN a.kind = 'choice' THEN CASE WHEN a.code = 'language' THEN 3 ELSE 1 END END,
	minimum => CASE a.code WHEN 'height' THEN 120 END,
	maximum => CASE a.code WHEN 'height' THEN 220 END)
FROM wanted_attribute AS a
ORDER BY a.ord
\g /dev/null

SELECT rapport.define_label(l.attribute, l.option, t.locale, t.label)
FROM (SELECT a.code AS attribute, NULL AS option, a.en, a.es, a.ar FROM wanted_attribute AS a
	  UNION ALL
	  SELECT o.attribute, o.code, o.en, o.es, o.ar FROM wanted_option AS o) AS l
CROSS JOIN LATERAL (VALUES ('en', l.en), ('es', l.es), ('ar', l.ar)) AS t (locale, label)
\g /dev/null

SELECT rapport.require_step('attribute:gender') \g /dev/null

COMMIT;
