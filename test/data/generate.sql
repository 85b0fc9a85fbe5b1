-- Makes sample.people: a population for tests, benches and the demo, to be
-- taken in by rapport.import_people(). The same variables give the same people.
--
--   people   how many                                          (100000)
--   seed     of everything random                              (1)
--   variant  dense: half of all people in five metropolises;
--            sparse: all spread over the world by population   (dense)
--   today    the day ages and activity count from              (rapport.today())
--   cities   the file, from the current folder                 (test/data/cities.tsv)
\set ON_ERROR_STOP on
\set QUIET on
\if :{?people}
\else
\set people 100000
\endif
\if :{?seed}
\else
\set seed 1
\endif
\if :{?variant}
\else
\set variant dense
\endif
\if :{?cities}
\else
\set cities test/data/cities.tsv
\endif
\if :{?today}
\else
SELECT rapport.today() AS today \gset
\endif

SET client_min_messages = warning;
SET jit = off;
SET work_mem = '64MB';
DROP SCHEMA IF EXISTS sample CASCADE;
CREATE SCHEMA sample;
CREATE TYPE sample.variant AS ENUM ('dense', 'sparse');
SELECT :'variant'::sample.variant = 'dense' AS dense \gset

\set file `cat :'cities'`
CREATE TABLE sample.city AS
SELECT row_number() OVER (ORDER BY c.f[6]::integer DESC, c.f[1]::integer)::integer AS city,
	c.f[2] AS name,
	c.f[3] AS country,
	c.f[4]::double precision AS lat,
	c.f[5]::double precision AS lon,
	c.f[6]::integer AS population,
	-- New York, London, Tokyo, São Paulo, Cairo.
	c.f[1] IN ('5128581', '2643743', '1850147', '3448439', '360630') AS metro
FROM (SELECT string_to_array(l.line, E'\t') AS f
	  FROM string_to_table(:'file', E'\n') WITH ORDINALITY AS l (line, no)
	  WHERE l.no > 1 AND l.line <> '') AS c;
\unset file

-- What people speak where, what they are called, and what they write. %1$s is
-- the city, %2$s something they like.
CREATE TABLE sample.tongue (
	language text PRIMARY KEY,
	countries text[] NOT NULL,
	women text[] NOT NULL,
	men text[] NOT NULL,
	opening text[] NOT NULL,
	closing text[] NOT NULL
);
INSERT INTO sample.tongue VALUES
('en', '{}',
	'{Amelia,Grace,Hannah,Ruby,Zoe,Maya,Nora,Abigail,Imani,Chloe,Freya,Naomi,Skye,Temi,Orla,Priya,Alice,Beth,Cora,Daisy,Edith,Flora,Georgia,Holly,Isla,Jess,Kate,Lottie,Mabel,Nell,Olive,Poppy,Rosa,Saoirse,Thea,Una,Violet,Willow,Yemi,Amara}',
	'{Oliver,Jack,Noah,Leo,Theo,Samuel,Ethan,Kwame,Callum,Marcus,Finn,Dele,Ravi,Isaac,Owen,Tom,Alfie,Ben,Caleb,Daniel,Elliot,Frank,George,Harry,Ivor,Joel,Kofi,Luke,Max,Ned,Oscar,Patrick,Quinn,Rory,Sid,Tariq,Umar,Victor,Will,Zach}',
	'{"New in %1$s and still lost.","Born in %1$s, never quite left.","%1$s by day, books by night.","Mostly harmless.","I moved to %1$s for work and stayed for the food."}',
	'{"Ask me about %2$s.","Tell me what you are reading.","Looking for someone to share %2$s with.","Bad puns included.","Coffee first, then we will see."}'),
('es', '{ES,MX,AR,CO,PE,VE,CL,EC,GT,CU,BO,DO,HN,PY,SV,NI,CR,PA,UY,PR,GQ}',
	'{Lucía,Sofía,Martina,Valeria,Camila,Inés,Ximena,Carmen,Paula,Itziar,Rocío,Belén}',
	'{Mateo,Hugo,Diego,Álvaro,Santiago,Iker,Joaquín,Emilio,Andrés,Íñigo,Tomás,Nicolás}',
	'{"Vivo en %1$s desde siempre.","Recién llegué a %1$s.","Cocino mejor de lo que canto.","De %1$s, con acento."}',
	'{"Cuéntame algo que no sepa.","Me encanta: %2$s.","Busco con quien reír.","¿Un café?"}'),
('pt', '{BR,PT,AO,MZ,CV,GW}',
	'{Ana,Beatriz,Larissa,Joana,Conceição,Helena,Júlia,Luana,Inês,Fernanda,Marina,Sónia,Tainá,Bruna,Lívia,Rita}',
	'{João,Miguel,Caio,Thiago,Gonçalo,Rafael,Vinícius,Bruno,Tomé,Otávio,Zé,Duarte,Ícaro,Nuno,Davi,Heitor}',
	'{"Moro em %1$s e gosto.","Cheguei a %1$s há pouco.","Domingo é dia de praia.","Sou de %1$s, sem pressa."}',
	'{"Fala-me de ti.","Adoro %2$s.","Procuro boas conversas.","Vamos dançar?"}'),
('fr', '{FR,BE,CI,SN,CM,ML,BF,NE,GN,CD,CG,TG,BJ,GA,MG,HT,CF,TD,RW,BI,DJ}',
	'{Chloé,Léa,Zoé,Aïcha,Manon,Éloïse,Fatou,Camille,Inès,Anaïs}',
	'{Léo,Hugo,Étienne,Mamadou,Jules,Théo,Noël,Loïc,Aurélien,Ibrahima}',
	'{"Je vis à %1$s depuis peu.","%1$s, son fleuve et ses cafés.","Je ris trop fort au cinéma.","Toujours un livre dans le sac."}',
	'{"On en parle ?","Grand faible pour %2$s.","Je cherche quelqu’un de curieux.","À très vite."}'),
('de', '{DE,AT,CH}',
	'{Hanna,Lena,Jördis,Käthe,Mia,Frieda,Greta,Annika,Leyla,Ulrike}',
	'{Jonas,Lukas,Jürgen,Emil,Björn,Felix,Cem,Matthias,Götz,Moritz}',
	'{"In %1$s zu Hause.","Neu in %1$s.","Ich koche gern zu viel.","Meistens draußen, auch bei Regen."}',
	'{"Erzähl mir etwas.","Immer zu haben für %2$s.","Humor ist Pflicht.","Auf bald!"}'),
('it', '{IT}',
	'{Giulia,Chiara,Beatrice,Noemi,Ilaria,Fiorella,Alessia,Martina}',
	'{Lorenzo,Matteo,Niccolò,Pietro,Davide,Salvatore,Elia,Tommaso}',
	'{"Abito a %1$s.","Da poco a %1$s.","Caffè senza zucchero, grazie."}',
	'{"Raccontami qualcosa.","La mia passione: %2$s.","Cerco qualcuno con cui ridere."}'),
('tr', '{TR}',
	'{Ayşe,Zeynep,Elif,Gülşah,İrem,Çiğdem,Şule,Deniz}',
	'{Mehmet,Emre,Çağrı,Ömer,Barış,Ozan,Tuğrul,Kaan}',
	'{"%1$s’da yaşıyorum.","Buraya yeni taşındım.","Çay her zaman iyi fikirdir."}',
	'{"Bana bir şey anlat.","En sevdiğim: %2$s.","Birlikte yürüyelim mi?"}'),
('ru', '{RU,BY,UA,KZ,KG,UZ,TM,TJ,MD}',
	'{Анна,Мария,Екатерина,Ольга,Дарья,Софья,Алёна,Юлия,Надежда,Ксения}',
	'{Алексей,Дмитрий,Иван,Фёдор,Сергей,Михаил,Артём,Никита,Павел,Егор}',
	'{"Живу здесь, в %1$s.","Недавно переехала душой, а потом и вещами.","Люблю долгие прогулки и короткие письма."}',
	'{"Расскажи о себе.","Моё увлечение: %2$s.","Ищу с кем помолчать."}'),
('ar', '{EG,SA,IQ,SY,JO,LB,YE,DZ,MA,TN,LY,SD,AE,KW,QA,BH,OM,PS,MR}',
	'{فاطمة,مريم,ليلى,نور,سلمى,ياسمين,هدى,رنا,دينا,أمل,جميلة,سارة}',
	'{محمد,أحمد,عمر,يوسف,كريم,خالد,زياد,طارق,سامي,حسن,مصطفى,إبراهيم}',
	'{"أعيش في %1$s وأحبها.","انتقلت إلى %1$s قريبًا.","أقرأ كثيرًا وأضحك أكثر.","القهوة أولًا ثم الكلام."}',
	'{"حدثني عن نفسك.","أحب %2$s.","أبحث عن شخص صادق.","هل نلتقي على فنجان شاي؟"}'),
('he', '{IL}',
	'{נועה,תמר,יעל,שירה,מיכל,הדס,אביגיל,רוני}',
	'{יונתן,דוד,איתי,עומר,נועם,אורי,גיא,אלון}',
	'{"גר ב%1$s ואוהב את הים.","חדשה ב%1$s.","קפה שחור ושיחות ארוכות."}',
	'{"ספרו לי משהו.","אוהבים %2$s? גם אני.","מחפשת מישהו מצחיק."}'),
('fa', '{IR,AF}',
	'{زهرا,مریم,نگار,پریسا,شیرین,لاله,مهسا,گلناز}',
	'{علی,رضا,آرش,کاوه,بهرام,سهراب,پویا,نیما}',
	'{"در %1$s زندگی می‌کنم.","تازه به %1$s آمده‌ام.","شعر و چای، همین."}',
	'{"از خودت بگو.","عاشق %2$s هستم.","دنبال یک دوست خوبم."}'),
('hi', '{IN,NP}',
	'{आराध्या,प्रिया,अनन्या,दिव्या,Kavya,Meera,Sunita,Nandini,Ishita,रिया}',
	'{आरव,अर्जुन,विवान,रोहन,Rahul,Vikram,Karthik,Aditya,Farhan,कबीर}',
	'{"%1$s में रहता हूँ।","Chai over coffee, always.","अभी अभी %1$s आए हैं।","Engineer by accident, cook by choice."}',
	'{"अपने बारे में बताइए।","Big on %2$s.","चलो, चाय पर मिलते हैं।","Looking for good company."}'),
('zh', '{CN,TW,HK,MO,SG}',
	'{王芳,李娜,张静,刘洋,陳怡君,林雅婷,赵敏,周雪,黃詩涵,孙悦,吴倩,徐丽}',
	'{王伟,李强,张磊,刘军,陳志明,林俊傑,杨帆,赵鹏,黃建國,周杰,吴昊,徐峰}',
	'{"住在%1$s，喜欢安静的早晨。","刚到%1$s，还在找好吃的面馆。","工作日上班，周末爬山。","話不多，但是很會聽。"}',
	'{"跟我说说你吧。","最近迷上了%2$s。","想找一个合拍的人。","一起吃火锅吗？"}'),
('ja', '{JP}',
	'{さくら,陽菜,結衣,美咲,葵,愛子,七海,由美,佐藤 凛,高橋 花}',
	'{蓮,翔太,大輔,健太,悠真,拓海,直樹,颯,鈴木 湊,田中 樹}',
	'{"%1$sに住んでいます。","最近%1$sに引っ越してきました。","休みの日は散歩しています。","カフェ巡りが好きです☕"}',
	'{"よろしくお願いします。","趣味は%2$sです。","気軽に話しましょう！","ラーメン、行きませんか？"}'),
('ko', '{KR,KP}',
	'{지우,서연,민서,하은,수아,예린,김나영,박소희}',
	'{민준,서준,도윤,지훈,현우,준호,이동현,최승민}',
	'{"%1$s에 살아요.","%1$s에 온 지 얼마 안 됐어요.","주말에는 산에 갑니다."}',
	'{"편하게 이야기해요.","%2$s 좋아해요.","같이 걸을래요?"}'),
('id', '{ID,MY,BN}',
	'{Putri,Dewi,Ayu,Nurul,Siti,Ratna,Wulan,Indah}',
	'{Budi,Agus,Rizky,Dimas,Fajar,Bayu,Hafiz,Joko}',
	'{"Tinggal di %1$s.","Baru pindah ke %1$s.","Suka hujan dan kopi."}',
	'{"Ceritakan tentang dirimu.","Suka sekali %2$s.","Ayo jalan-jalan."}');

CREATE TABLE sample.place AS
SELECT c.city, c.name, c.country, c.lat, c.lon,
	coalesce(t.language, 'en') AS language,
	-- Kilometres: a city of a hundred thousand, 2.6; of ten million, 12.6.
	1.5 + 0.0035 * sqrt(c.population) AS spread
FROM sample.city AS c
LEFT JOIN sample.tongue AS t ON c.country = ANY (t.countries);
ALTER TABLE sample.place ADD PRIMARY KEY (city);

-- The share of all people in a city and those before it.
CREATE TABLE sample.share AS
SELECT c.city,
	sum(CASE WHEN NOT :'dense' THEN c.population / total.everyone
		WHEN c.metro THEN 0.5 * c.population / total.metro
		ELSE 0.5 * c.population / (total.everyone - total.metro) END) OVER (ORDER BY c.city) AS upto
FROM sample.city AS c,
	(SELECT sum(population)::double precision AS everyone, sum(population) FILTER (WHERE metro)::double precision AS metro FROM sample.city) AS total;

-- A number in [0, 1): draw k of person i. Inlined.
CREATE FUNCTION sample.u(i bigint, k integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (hashint8extended(i, :seed::bigint * 1000 + k) & 4294967295) / 4294967296.0::double precision;
END;

-- A number of the normal distribution, from draws k and k + 1.
CREATE FUNCTION sample.normal(i bigint, k integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT sqrt(-2 * ln(1 - (hashint8extended(i, :seed::bigint * 1000 + k) & 4294967295) / 4294967296.0::double precision))
		* cos(6.283185307179586 * ((hashint8extended(i, :seed::bigint * 1000 + k + 1) & 4294967295) / 4294967296.0::double precision));
END;

\set tags '{"music","travel","food","films","coffee","hiking","reading","cooking","photography","dogs","gaming","art","running","yoga","dancing","concerts","cats","wine","football","beach","museums","board games","cycling","theatre","podcasts","series","swimming","camping","gardening","climbing","languages","history","writing","painting","street food","science","volunteering","baking","jazz","fashion","tea","basketball","meditation","mountains","crafts","tennis","startups","design","anime","comics","karaoke","poetry","hip hop","surfing","chess","sushi","vinyl","skiing","stand-up","festivals","architecture","astronomy","brunch","road trips","guitar","piano","politics","philosophy","economics","motorbikes","cars","diving","sailing","boxing","judo","pilates","salsa","tango","bachata","opera","classical music","techno","metal","indie","k-pop","ramen","barbecue","cheese","craft beer","cocktails","chocolate","vegan food","permaculture","birds","horses","fishing","foraging","knitting","sewing","pottery","woodwork","origami","calligraphy","3D printing","electronics","programming","open source","data","mathematics","psychology","linguistics","true crime","fantasy","science fiction","manga","drag","musicals","improv","magic","escape rooms","pub quizzes","puzzles","crosswords","Go (囲碁)","cricket","rugby","volleyball","badminton","table tennis","golf","archery","skating","snowboarding","kayaking","caving","geocaching","urban sketching","stamps","antiques","thrift shops","minimalism","tiny houses","mosaics","glaciers","lighthouses","trains","maps","kites","🎧","🌱","شعر","書道","маршруты","theremin"}'

CREATE UNLOGGED TABLE sample.people AS
SELECT 'p' || a.i AS id,
	CASE WHEN a.woman_name THEN a.women[1 + floor(a.u_name * cardinality(a.women))::integer]
		ELSE a.men[1 + floor(a.u_name * cardinality(a.men))::integer]
		END || CASE WHEN sample.u(a.i, 12) < 0.03 THEN (ARRAY[' ✨', ' 🌻', ' 🏳️‍🌈', ' 👩🏽‍🚀', ' 🎸', ' 🇺🇳'])[1 + floor(sample.u(a.i, 13) * 6)::integer] ELSE '' END AS name,
	:'today'::date - a.days AS born,
	a.lat,
	a.lon,
	CASE WHEN a.u_about < 0.85 THEN
		format(a.opening[1 + floor(sample.u(a.i, 15) * cardinality(a.opening))::integer] || ' '
			|| a.closing[1 + floor(sample.u(a.i, 16) * cardinality(a.closing))::integer], a.city_name, coalesce(a.tags[1], 'music'))
		|| CASE WHEN a.u_about < 0.25 THEN (ARRAY[' 😀', ' 🌊🏄', ' ❤️', ' 🍜', ' 👨‍👩‍👧‍👦', ' 🐕‍🦺', ' 📚☕', ' 🫶🏾'])[1 + floor(a.u_about * 32)::integer] ELSE '' END
		END AS about,
	a.tags,
	:'today'::date - least(730, floor(exp(1.5 + 1.6 * sample.normal(a.i, 17))))::integer AS seen,
	-- Joined as text and parsed once: several times faster than building objects.
	('{' || concat_ws(',',
		'"gender":"' || (ARRAY['woman', 'man', 'nonbinary'])[a.gender] || '"',
		'"relationship":"' || (ARRAY['long_term', 'short_term', 'open', 'unsure'])[a.relationship] || '"',
		'"children":"' || (ARRAY['none', 'at_home', 'grown'])[a.children] || '"',
		'"wants_children":"' || (ARRAY['yes', 'maybe', 'no'])[a.wants_children] || '"',
		'"smoking":"' || (ARRAY['never', 'sometimes', 'daily'])[a.smoking] || '"',
		'"drinking":"' || (ARRAY['never', 'sometimes', 'often', NULL])[1 + width_bucket(sample.u(a.i, 25), ARRAY[0.2, 0.72, 0.88])] || '"',
		'"cannabis":"' || (ARRAY['never', 'sometimes', 'often', NULL])[1 + width_bucket(sample.u(a.i, 26), ARRAY[0.5, 0.65, 0.7])] || '"',
		'"religion":"' || (ARRAY['none', 'christian', 'muslim', 'hindu', 'buddhist', 'jewish', 'other'])[a.religion] || '"',
		'"politics":"' || (ARRAY['left', 'centre', 'right', 'none'])[a.politics] || '"',
		'"diet":"' || CASE WHEN a.u_diet < 0.25 THEN NULL
			WHEN a.religion = 3 AND a.u_diet < 0.6 THEN 'halal'
			WHEN a.religion = 6 AND a.u_diet < 0.5 THEN 'kosher'
			WHEN a.religion = 4 AND a.u_diet < 0.55 THEN 'vegetarian'
			ELSE (ARRAY['everything', 'vegetarian', 'vegan', 'fish'])[1 + width_bucket(sample.u(a.i, 31), ARRAY[0.78, 0.89, 0.94])] END || '"',
		'"education":"' || (ARRAY['school', 'trade', 'bachelor', 'master', 'doctorate'])[a.education] || '"',
		'"exercise":"' || (ARRAY['never', 'sometimes', 'weekly', 'daily'])[a.exercise] || '"',
		'"pets":"' || (ARRAY['none', 'dog', 'cat', 'other'])[a.pets] || '"',
		'"sleep":"' || (ARRAY['early', 'late', 'depends'])[a.sleep] || '"',
		'"work":"' || CASE WHEN a.u_work < 0.2 THEN NULL
			WHEN a.age < 24 AND a.u_work < 0.7 THEN 'studying'
			WHEN a.age > 64 AND a.u_work < 0.8 THEN 'retired'
			ELSE (ARRAY['office', 'craft', 'care', 'own', 'between'])[1 + width_bucket(sample.u(a.i, 38), ARRAY[0.42, 0.6, 0.8, 0.93])] END || '"',
		'"home":"' || (ARRAY['alone', 'shared', 'family', NULL])[1 + width_bucket(sample.u(a.i, 40), ARRAY[0.25, 0.5, 0.7])] || '"',
		'"company":"' || (ARRAY['quiet', 'between', 'lively', NULL])[1 + width_bucket(sample.u(a.i, 41), ARRAY[0.22, 0.48, 0.65])] || '"',
		'"contact":"' || (ARRAY['texting', 'calls', 'in_person', NULL])[1 + width_bucket(sample.u(a.i, 42), ARRAY[0.3, 0.4, 0.6])] || '"',
		'"language":"' || a.language || '"',
		'"height":' || CASE WHEN sample.u(a.i, 43) < 0.7 THEN
			greatest(140, least(215, (CASE a.gender WHEN 1 THEN 164 WHEN 2 THEN 177 ELSE 170 END + 7 * sample.normal(a.i, 44))::integer)) END)
		|| '}')::jsonb AS attrs,
	('{"date":{' || concat_ws(',',
		'"age":[' || greatest(18, (a.age - a.younger)::integer) || ',' || least(99, (a.age + a.older)::integer) || ']',
		'"max_distance_km":' || a.distance,
		'"ranges":{' || CASE WHEN a.gender = 1 AND sample.u(a.i, 63) < 0.15 THEN '"height":[172,220]' END || '}',
		-- Most keep the strengths of the catalogue.
		'"strengths":{' || CASE WHEN sample.u(a.i, 49) < 0.05 THEN '"smoking":"soft","cannabis":"soft","politics":"one_way"' END || '}',
		'"accepts":{' || concat_ws(',',
			'"gender":' || CASE a.gender
				WHEN 1 THEN (ARRAY['["man"]', '["woman"]', '["woman","man","nonbinary"]', '["man","nonbinary"]'])[1 + width_bucket(a.u_gender, ARRAY[0.87, 0.92, 0.98])]
				WHEN 2 THEN (ARRAY['["woman"]', '["man"]', '["woman","man","nonbinary"]', '["woman","nonbinary"]'])[1 + width_bucket(a.u_gender, ARRAY[0.88, 0.94, 0.98])]
				ELSE (ARRAY['["woman","man","nonbinary"]', '["woman","nonbinary"]', '["man","nonbinary"]'])[1 + width_bucket(a.u_gender, ARRAY[0.6, 0.8])] END,
			'"relationship":' || CASE WHEN sample.u(a.i, 50) < 0.25 THEN
				(ARRAY['["long_term","unsure",null]', '["short_term","open","unsure",null]', '["open","short_term"]', NULL])[a.relationship] END,
			'"children":' || CASE WHEN a.children = 1 AND sample.u(a.i, 51) < 0.18 THEN '["none",null]' END,
			'"wants_children":' || CASE WHEN sample.u(a.i, 52) < 0.2 THEN
				(ARRAY['["yes","maybe",null]', NULL, '["no","maybe",null]'])[a.wants_children] END,
			'"smoking":' || CASE WHEN a.smoking = 1 THEN
				(ARRAY['["never",null]', '["never","sometimes",null]', NULL])[1 + width_bucket(sample.u(a.i, 53), ARRAY[0.25, 0.4])] END,
			'"cannabis":' || CASE WHEN sample.u(a.i, 55) < 0.12 THEN '["never",null]' END,
			'"religion":' || CASE WHEN sample.u(a.i, 56) < ('{0.03,0.08,0.5,0.3,0.03,0.4,0}'::float8[])[a.religion] THEN
				(ARRAY['["none",null]', '["christian",null]', '["muslim",null]', '["hindu",null]', '["buddhist","none",null]', '["jewish",null]'])[a.religion] END,
			'"politics":' || CASE WHEN sample.u(a.i, 57) < 0.1 THEN
				(ARRAY['["left","centre",null]', NULL, '["right","centre",null]', NULL])[a.politics] END,
			'"education":' || CASE WHEN a.education >= 4 AND sample.u(a.i, 58) < 0.2 THEN '["bachelor","master","doctorate",null]' END,
			'"exercise":' || CASE WHEN a.exercise >= 3 AND sample.u(a.i, 59) < 0.4 THEN '["weekly","daily"]' END,
			'"pets":' || CASE WHEN a.pets IN (2, 3) AND sample.u(a.i, 60) < 0.4 THEN '["dog","cat","other"]' END,
			'"sleep":' || CASE WHEN sample.u(a.i, 61) < 0.3 THEN (ARRAY['["early"]', '["late"]', NULL])[a.sleep] END,
			'"language":["' || CASE WHEN sample.u(a.i, 62) < 0.3 THEN a.language END || '"]') || '}')
		|| '}' || coalesce(',"friends":{' || CASE WHEN sample.u(a.i, 64) < 0.2 THEN
			concat_ws(',',
				'"age":[' || greatest(18, (a.age * 0.7)::integer) || ',' || least(99, (a.age * 1.35)::integer) || ']',
				'"max_distance_km":50',
				'"accepts":{"gender":' || CASE WHEN sample.u(a.i, 65) < 0.25 THEN
					(ARRAY['["woman","nonbinary"]', '["man","nonbinary"]', NULL])[a.gender] END || '}') END || '}', '')
		|| '}')::jsonb AS prefs
FROM (
	SELECT p.i, p.gender, p.days, p.age, p.u_name, p.u_about, p.u_gender, sample.u(p.i, 30) AS u_diet, sample.u(p.i, 37) AS u_work,
		p.gender = 1 OR p.gender = 3 AND sample.u(p.i, 11) < 0.5 AS woman_name,
		t.women, t.men, t.opening, t.closing, t.language,
		c.name AS city_name,
		c.lat + p.away * c.spread * cos(p.bearing) / 111.195 AS lat,
		c.lon + p.away * c.spread * sin(p.bearing) / (111.195 * cos(radians(c.lat))) AS lon,
		ARRAY(SELECT DISTINCT (:'tags'::text[])[floor(exp(sample.u(p.i, 100 + d) * 5.04))::integer]
			  FROM generate_series(1, least(8, floor(-3 * ln(1 - sample.u(p.i, 21))))::integer) AS d) AS tags,
		CASE WHEN sample.u(p.i, 22) < 0.8 THEN 1 + width_bucket(sample.u(p.i, 23), ARRAY[0.55, 0.75, 0.82]) END AS relationship,
		CASE WHEN sample.u(p.i, 24) < 0.75 THEN
			CASE WHEN sample.u(p.i, 19) > least(0.8, (p.age - 22) / 30) THEN 1 WHEN p.age + 8 * sample.u(p.i, 27) < 52 THEN 2 ELSE 3 END END AS children,
		CASE WHEN sample.u(p.i, 28) < 0.6 THEN 1 + width_bucket(sample.u(p.i, 29) + greatest(0, (p.age - 35) / 30), ARRAY[0.4, 0.75]) END AS wants_children,
		CASE WHEN sample.u(p.i, 33) < 0.85 THEN 1 + width_bucket(sample.u(p.i, 34), ARRAY[0.7, 0.88]) END AS smoking,
		CASE WHEN sample.u(p.i, 35) < 0.65 THEN
			1 + width_bucket(sample.u(p.i, 36), CASE t.language
				WHEN 'ar' THEN '{0.08, 0.16, 0.99, 0.99, 0.99, 0.99}'::float8[]
				WHEN 'fa' THEN '{0.2, 0.22, 0.97, 0.97, 0.97, 0.98}'::float8[]
				WHEN 'tr' THEN '{0.3, 0.32, 0.98, 0.98, 0.98, 0.985}'::float8[]
				WHEN 'id' THEN '{0.05, 0.15, 0.95, 0.97, 0.99, 0.99}'::float8[]
				WHEN 'he' THEN '{0.35, 0.38, 0.5, 0.5, 0.5, 0.98}'::float8[]
				WHEN 'hi' THEN '{0.1, 0.13, 0.27, 0.95, 0.96, 0.96}'::float8[]
				WHEN 'zh' THEN '{0.72, 0.77, 0.79, 0.79, 0.95, 0.95}'::float8[]
				WHEN 'ja' THEN '{0.6, 0.63, 0.63, 0.63, 0.95, 0.95}'::float8[]
				ELSE '{0.45, 0.85, 0.92, 0.93, 0.94, 0.96}'::float8[] END) END AS religion,
		CASE WHEN sample.u(p.i, 66) < 0.5 THEN 1 + width_bucket(sample.u(p.i, 67), ARRAY[0.35, 0.6, 0.8]) END AS politics,
		CASE WHEN sample.u(p.i, 68) < 0.75 THEN
			least(1 + width_bucket(sample.u(p.i, 69), ARRAY[0.25, 0.4, 0.75, 0.95]), CASE WHEN p.age < 21 THEN 1 WHEN p.age < 24 THEN 3 ELSE 5 END) END AS education,
		CASE WHEN sample.u(p.i, 70) < 0.7 THEN 1 + width_bucket(sample.u(p.i, 71), ARRAY[0.15, 0.5, 0.85]) END AS exercise,
		CASE WHEN sample.u(p.i, 72) < 0.65 THEN 1 + width_bucket(sample.u(p.i, 73), ARRAY[0.45, 0.7, 0.92]) END AS pets,
		CASE WHEN sample.u(p.i, 74) < 0.55 THEN 1 + width_bucket(sample.u(p.i, 75), ARRAY[0.3, 0.6]) END AS sleep,
		CASE p.gender WHEN 1 THEN 2 + sample.u(p.i, 46) * (1 + p.age * 0.12) WHEN 2 THEN 3 + sample.u(p.i, 46) * p.age * 0.35 ELSE 3 + sample.u(p.i, 46) * p.age * 0.25 END AS younger,
		CASE p.gender WHEN 1 THEN 4 + sample.u(p.i, 47) * (3 + p.age * 0.2) WHEN 2 THEN 1 + sample.u(p.i, 47) * (2 + p.age * 0.12) ELSE 3 + sample.u(p.i, 47) * p.age * 0.25 END AS older,
		(ARRAY[10, 25, 50, 80, 100, 200, 500, NULL])[1 + width_bucket(sample.u(p.i, 48), ARRAY[0.1, 0.35, 0.65, 0.8, 0.9, 0.95, 0.97])] AS distance
	FROM (
		SELECT n AS i,
			least(1 + width_bucket(sample.u(n, 1), (SELECT array_agg(s.upto ORDER BY s.city) FROM sample.share AS s)), (SELECT max(s.city) FROM sample.share AS s)) AS city,
			1 + width_bucket(sample.u(n, 2), ARRAY[0.46, 0.975]) AS gender,
			d.days,
			d.days / 365.2425 AS age,
			-- Kilometres in units of the city's spread; one in ten lives further out.
			sqrt(-2 * ln(1 - sample.u(n, 5))) * CASE WHEN sample.u(n, 6) < 0.1 THEN 3 ELSE 1 END AS away,
			6.283185307179586 * sample.u(n, 7) AS bearing,
			sample.u(n, 8) AS u_name,
			sample.u(n, 9) AS u_about,
			sample.u(n, 10) AS u_gender
		FROM generate_series(1, :people::bigint) AS n
		-- Eighteen and a bit, most in their twenties and thirties, to eighty.
		CROSS JOIN LATERAL (SELECT least(29219, 6575 + floor(365.2425 * exp(2.5 + 0.65 * sample.normal(n, 3)))::integer) AS days OFFSET 0) AS d
		OFFSET 0
	) AS p
	JOIN sample.place AS c USING (city)
	-- One in twelve speaks something else than the place does.
	JOIN sample.tongue AS t ON t.language = CASE WHEN sample.u(p.i, 76) < 0.92 THEN c.language
		ELSE (ARRAY['en', 'es', 'fr', 'ar', 'zh', 'ru', 'hi', 'pt'])[1 + floor(sample.u(p.i, 77) * 8)::integer] END
	OFFSET 0
) AS a;
COMMENT ON TABLE sample.people IS 'Made by test/data/generate.sql. City data © GeoNames, CC BY 4.0.';
ALTER TABLE sample.people ADD PRIMARY KEY (id);
ANALYZE sample.people;
