"""The clinical register of the toy corpus: short notes on invented patients. Not medical advice."""
# ruff: noqa: E501 (a table has its row, and a step its alternatives, on one line)

from __future__ import annotations

from bertinchamps.data.sources.demo_grammar import Scene, scene
from bertinchamps.data.sources.demo_words import numbers, table, words

DISEASES = table("""
maladie:n ; site:n ; medecin:n ; s1:n ; s2:n ; signe ; examen:n ; remede:n ; dose ; prise ; facteur:n ; suite:n
pneumonie,f ; thorax,m ; pneumologue,m / pneumologue,f ; fièvre,f ; toux grasse,f / essoufflement,m ; des crépitants à la base droite / des crépitants à la base gauche ; radiographie,f ; amoxicilline,f ; 1 g ; trois fois par jour ; tabagisme,m ; pleurésie,f
tuberculose,f ; poumon,m ; pneumologue,m / pneumologue,f ; amaigrissement,m ; toux chronique,f / sueur nocturne,f ; une baisse du murmure vésiculaire ; radiographie,f ; isoniazide,m ; 300 mg ; une fois par jour ; promiscuité,f ; hémoptysie,f
embolie pulmonaire,f ; thorax,m ; pneumologue,m / cardiologue,f ; douleur thoracique,f ; essoufflement,m / malaise,m ; une tachycardie régulière ; scanner,m ; apixaban,m ; 5 mg ; deux fois par jour ; immobilisation,f ; syncope,f
appendicite,f ; abdomen,m ; chirurgien,m / chirurgienne,f ; douleur abdominale,f ; nausée,f / perte d'appétit,f ; une défense en fosse iliaque droite ; scanner,m ; ceftriaxone,f ; 2 g ; une fois par jour ; constipation,f ; péritonite,f
fracture,f ; poignet,m ; orthopédiste,m / orthopédiste,f ; douleur vive,f ; gonflement,m / impotence,f ; un hématome de la face dorsale ; radiographie,f ; tramadol,m ; 50 mg ; toutes les six heures ; chute,f ; raideur,f
entorse,f ; cheville,f ; orthopédiste,m / orthopédiste,f ; boiterie,f ; gonflement,m / ecchymose,f ; une laxité du ligament latéral ; échographie,f ; ibuprofène,m ; 400 mg ; trois fois par jour ; sport intensif,m ; instabilité,f
arthrose,f ; genou,m ; rhumatologue,m / rhumatologue,f ; raideur matinale,f ; douleur mécanique,f / craquement,m ; un épanchement de faible abondance ; radiographie,f ; diclofénac,m ; 75 mg ; deux fois par jour ; surpoids,m ; déformation,f
tendinite,f ; épaule,f ; rhumatologue,m / rhumatologue,f ; douleur nocturne,f ; gêne fonctionnelle,f / raideur,f ; une douleur à l'abduction contrariée ; échographie,f ; naproxène,m ; 550 mg ; deux fois par jour ; travail répétitif,m ; rupture,f
hernie discale,f ; rachis,m ; neurochirurgien,m / neurochirurgienne,f ; sciatique,f ; fourmillement,m / lombalgie,f ; une abolition du réflexe achilléen ; IRM,f ; prégabaline,f ; 75 mg ; deux fois par jour ; port de charges,m ; paralysie,f
ostéoporose,f ; hanche,f ; rhumatologue,m / rhumatologue,f ; dorsalgie,f ; perte de taille,f / douleur osseuse,f ; une cyphose dorsale modérée ; radiographie,f ; alendronate,m ; 70 mg ; une fois par semaine ; carence en vitamine D,f ; fracture du col,f
calcul,m ; rein,m ; urologue,m / urologue,f ; colique,f ; agitation,f / nausée,f ; une douleur à l'ébranlement lombaire ; échographie,f ; kétoprofène,m ; 100 mg ; deux fois par jour ; déshydratation,f ; obstruction,f
pyélonéphrite,f ; rein,m ; urologue,m / néphrologue,f ; frisson,m ; brûlure urinaire,f / fièvre élevée,f ; une fosse lombaire douloureuse ; échographie,f ; ofloxacine,f ; 200 mg ; deux fois par jour ; diabète,m ; septicémie,f
cirrhose,f ; foie,m ; hépatologue,m / hépatologue,f ; fatigue,f ; ictère,m / prurit,m ; une ascite de moyenne abondance ; échographie,f ; spironolactone,f ; 75 mg ; une fois par jour ; alcool,m ; encéphalopathie,f
cholécystite,f ; vésicule,f ; chirurgien,m / chirurgienne,f ; douleur abdominale,f ; vomissement,m / fièvre,f ; un signe de Murphy positif ; échographie,f ; céfotaxime,m ; 1 g ; trois fois par jour ; obésité,f ; perforation,f
pancréatite,f ; pancréas,m ; gastro-entérologue,m / gastro-entérologue,f ; douleur épigastrique,f ; vomissement,m / fièvre modérée,f ; une sensibilité de l'épigastre ; scanner,m ; néfopam,m ; 20 mg ; toutes les quatre heures ; alcool,m ; nécrose,f
ulcère,m ; estomac,m ; gastro-entérologue,m / gastro-entérologue,f ; brûlure gastrique,f ; nausée,f / anémie,f ; une pâleur des conjonctives ; endoscopie,f ; oméprazole,m ; 20 mg ; une fois par jour ; stress,m ; hémorragie,f
diverticulite,f ; côlon,m ; gastro-entérologue,m / chirurgienne,f ; douleur abdominale,f ; constipation,f / fièvre,f ; un empâtement de la fosse iliaque gauche ; scanner,m ; métronidazole,m ; 500 mg ; trois fois par jour ; constipation,f ; abcès,m
insuffisance cardiaque,f ; cœur,m ; cardiologue,m / cardiologue,f ; essoufflement,m ; prise de poids,f / fatigue,f ; des œdèmes des membres inférieurs ; échographie,f ; furosémide,m ; 40 mg ; une fois par jour ; hypertension,f ; détresse respiratoire,f
péricardite,f ; cœur,m ; cardiologue,m / cardiologue,f ; douleur thoracique,f ; palpitation,f / fièvre,f ; un frottement péricardique ; IRM,f ; colchicine,f ; 500 µg ; deux fois par jour ; infection virale,f ; tamponnade,f
thrombose,f ; jambe,f ; angiologue,m / angiologue,f ; œdème,m ; lourdeur,f / douleur au mollet,f ; un mollet chaud et tendu ; échographie,f ; énoxaparine,f ; 6 000 UI ; deux fois par jour ; immobilisation,f ; embolie pulmonaire,f
anévrisme,m ; aorte,f ; angiologue,m / angiologue,f ; douleur lombaire,f ; pâleur,f / malaise,m ; une masse battante sous l'ombilic ; scanner,m ; aténolol,m ; 50 mg ; une fois par jour ; tabagisme,m ; rupture,f
accident vasculaire cérébral,m ; cerveau,m ; neurologue,m / neurologue,f ; hémiplégie,f ; trouble de la parole,m / vertige,m ; une asymétrie du visage ; IRM,f ; clopidogrel,m ; 75 mg ; une fois par jour ; hypertension,f ; épilepsie,f
sclérose en plaques,f ; cerveau,m ; neurologue,m / neurologue,f ; baisse de la vue,f ; fourmillement,m / fatigue,f ; des réflexes vifs aux quatre membres ; IRM,f ; méthylprednisolone,f ; 1 g ; une fois par jour ; manque de soleil,m ; spasticité,f
goitre,m ; thyroïde,f ; endocrinologue,m / endocrinologue,f ; frilosité,f ; prise de poids,f / somnolence,f ; une masse cervicale mobile ; échographie,f ; lévothyroxine,f ; 75 µg / 100 µg ; une fois par jour ; carence en iode,f ; compression,f
sinusite,f ; sinus,m ; oto-rhino-laryngologiste,m ; mal de tête,m ; nez bouché,m / toux,f ; une douleur à la pression de la joue ; scanner,m ; pristinamycine,f ; 1 g ; deux fois par jour ; allergie,f ; méningite,f
glaucome,m ; œil,m ; ophtalmologue,m / ophtalmologue,f ; vision trouble,f ; douleur oculaire,f / rougeur,f ; une pupille dilatée ; examen,m ; timolol,m ; 1 goutte ; deux fois par jour ; myopie,f ; cécité,f
eczéma,m ; peau,f ; dermatologue,m / dermatologue,f ; démangeaison,f ; rougeur,f / sécheresse,f ; des plaques rouges des plis du coude ; examen,m ; bétaméthasone,f ; 1 application ; une fois par jour ; allergie,f ; surinfection,f
zona,m ; peau,f ; dermatologue,m / dermatologue,f ; brûlure,f ; éruption,f / fatigue,f ; des vésicules en bande sur le thorax ; examen,m ; valaciclovir,m ; 1 g ; trois fois par jour ; stress,m ; névralgie,f
""")  # fmt: skip

COMPLAINTS = table("""
plainte:n ; secours:n ; forme ; quantite
fièvre,f ; paracétamol,m ; en comprimé ; 1 g / 500 mg
douleur,f ; morphine,f ; en gélule ; 10 mg
nausée,f ; métoclopramide,m ; en comprimé ; 10 mg
toux,f ; codéine,f ; en sirop ; 15 mg
constipation,f ; macrogol,m ; en sachet ; 10 g
insomnie,f ; zopiclone,f ; en comprimé ; 7,5 mg
anxiété,f ; hydroxyzine,f ; en comprimé ; 25 mg
allergie,f ; cétirizine,f ; en comprimé ; 10 mg
diarrhée,f ; lopéramide,m ; en gélule ; 2 mg
hypertension,f ; amlodipine,f ; en comprimé ; 5 mg
anémie,f ; fer,m ; en comprimé ; 80 mg
hyperglycémie,f ; insuline,f ; en injection ; 10 unités
""")

PATIENTS = table("""
patient:n ; sexe:n ; civilite
patient,m ; homme,m ; Monsieur
patiente,f ; femme,f ; Madame
""")

HISTORIES = table("""
passe:n ; entretien:n
diabète,m ; metformine,f
asthme,m ; salbutamol,m
hypothyroïdie,f ; lévothyroxine,f
épilepsie,f ; lamotrigine,f
dépression,f ; sertraline,f
arythmie,f ; bisoprolol,m
goutte,f ; allopurinol,m
migraine,f ; sumatriptan,m
hypercholestérolémie,f ; atorvastatine,f
hypertension,f ; ramipril,m
""")

MEASURES = {
    "age": numbers(21, 94),
    "temperature": numbers(364, 402, 1, 10),
    "systole": numbers(98, 182, 2),
    "diastole": numbers(56, 98, 2),
    "pouls": numbers(54, 128),
    "saturation": numbers(88, 100),
    "poids": numbers(46, 112),
    "crp": numbers(4, 240),
    "jours jours2": numbers(3, 14),
    "initiale": words("", " / ".join("ABCDEFGHJKLMNPRSTV")),
}

PROGRESS = words(
    "", "favorable / rapide / lente / satisfaisante / régulière / simple / progressive / spectaculaire"
)
SEVERITY = words("a", "sévère / modéré / débutant / récent / compliqué")
CARERS = words("nn", "infirmier,m / infirmière,f / interne,m / interne,f / soignant,m / soignante,f")
SERVICES = words("n", "service de médecine,m / service de chirurgie,m / unité de soins,f / service des urgences,m / "
                 "clinique,f / hôpital de jour,m / service de gériatrie,m / centre hospitalier,m")  # fmt: skip
WHEN = words("", "depuis trois jours / depuis une semaine / depuis la veille / depuis deux mois / depuis le matin / "
             "depuis cinq jours / depuis une quinzaine de jours / depuis plusieurs heures")  # fmt: skip

STAY = scene("séjour", [DISEASES, PATIENTS, HISTORIES, COMPLAINTS], MEASURES | {
    "severe": SEVERITY, "favorable": PROGRESS, "soignant": CARERS, "service": SERVICES, "quand": WHEN}, """
{patient.Un} de {age} ans est {admis@patient} {service.au} pour {s1.un} et {s2.un} {quand}. || {civilite} {initiale}., {age} ans, est {admis@patient} {service.au} pour {s1.un} évoluant {quand}. || Il s'agit {sexe.dun} de {age} ans, {hospitalisé@patient} pour {s1.un} {quand}.
Dans ses antécédents, on note {passe.un} {traité@passe} par {entretien.le}. || {patient.Le} souffre {passe.de} et prend {entretien.du} tous les jours. || {patient.Il} prend {entretien.du} pour {passe.un} {ancien@passe}.
? {patient.Il} pèse {poids} kg. || Le poids {patient.du} est de {poids} kg. || On ne retrouve pas d'allergie connue chez {patient.ce}.
À l'entrée, la température est de {temperature} °C et la pression artérielle de {systole}/{diastole} mmHg. || À l'examen, {patient.le} a une température de {temperature} °C et un pouls à {pouls} battements par minute. || La tension est à {systole}/{diastole} mmHg, le pouls à {pouls} par minute et la saturation à {saturation} %.
L'examen clinique retrouve {signe}. || {medecin.Le} constate {signe}. || On observe {signe}.
? La protéine C réactive est à {crp} mg/L. || Le bilan sanguin montre une protéine C réactive à {crp} mg/L. || La vitesse de sédimentation est normale.
{examen.Le} {site.du} montre {maladie.un}. || {examen.Le} {site.du} confirme {maladie.le}. || Devant {s1.ce}, {medecin.le} demande {examen.un} {site.du}, qui montre {maladie.un} {severe@maladie}.
{medecin.Le} prescrit {remede.du} à la dose de {dose} {prise}. || Un traitement par {remede} est débuté : {dose} {prise}. || {patient.Le} reçoit {remede.du}, {dose} {prise}.
? Le médecin prescrit {secours.du} contre {plainte.le}. || {plainte.Le} est {traité@plainte} par {secours.le} {forme}. || Contre {plainte.le}, {patient.il} reçoit {secours.du} {forme}.
? {soignant.Le} {soignant?surveille|surveillent} {patient.le} et {soignant?contrôle|contrôlent} la température. || {soignant.Le} {soignant?note|notent} une température à {temperature} °C. || {patient.Le} est {surveillé@patient} par {soignant.le} {service.du}.
L'évolution est {favorable} : {s1.le} disparaît en {jours} jours. || Après {jours} jours, {s1.le} et {s2.le} ont disparu. || Sous {remede}, {patient.le} va mieux et {s1.le} diminue en {jours} jours. || {s1.Le} persiste, mais {patient.le} est {apyrétique@patient} au bout de {jours} jours.
? {suite.Un} est à craindre si {patient.le} arrête le traitement. || Il n'y a pas {suite.de}. || {patient.Le} est {informé@patient} du risque {suite.de}.
{patient.Le} sort {guéri@patient} après {jours2} jours et revoit {medecin.le} dans un mois. || {patient.Il} rentre à domicile avec {remede.du} pour {jours2} jours. || {patient.Il} quitte {service.le} après {jours2} jours ; {medecin.le} {patient?le|la|les|les} reverra en consultation.
""")  # fmt: skip

VISIT = scene("consultation", [DISEASES, PATIENTS, HISTORIES, COMPLAINTS], MEASURES | {
    "severe": SEVERITY, "quand": WHEN}, """
{civilite} {initiale}., {age} ans, consulte {medecin.le} pour {s1.un} {quand}. || {patient.Un} de {age} ans vient en consultation pour {s1.un}. || {medecin.Le} reçoit {patient.un} de {age} ans qui se plaint {s1.dun}.
{s1.Le} s'accompagne {s2.dun}. || {patient.Il} décrit aussi {s2.un}. || On note également {s2.un} {quand}.
{facteur.Le} est un facteur de risque connu. || {patient.Le} signale {facteur.un} comme facteur favorisant. || L'interrogatoire ne retrouve pas {facteur.de}.
? {patient.Il} est {suivi@patient} pour {passe.un} et prend {entretien.du}. || {passe.Le} est {équilibré@passe} sous {entretien}.
La tension est à {systole}/{diastole} mmHg et le pouls est régulier. || La température est de {temperature} °C. || {patient.Le} pèse {poids} kg et vit {seul@patient}.
{medecin.Le} retrouve {signe}. || L'examen met en évidence {signe}.
{examen.Le} {site.du} montre {maladie.un} {severe@maladie}. || Le diagnostic {maladie.de} est posé sur {examen.le} {site.du}. || {examen.Un} {site.du} est {réalisé@examen} et confirme {maladie.le}.
{medecin.Le} prescrit {remede.du}, {dose} {prise}, pendant {jours} jours. || Le traitement repose sur {remede.le} à raison de {dose} {prise}. || {medecin.Le} conseille {remede.du} : {dose} {prise}.
? Le médecin prescrit {secours.du} contre {plainte.le}. || {patient.Le} peut prendre {secours.du} ({quantite}) en cas {plainte.de}.
? {patient.Le} doit éviter {facteur.le} et revenir si {s1.le} s'aggrave. || Un contrôle {site.du} est prévu dans {jours2} jours. || {medecin.Le} explique {patient.au} le risque {suite.de}.
""")  # fmt: skip

EMERGENCY = scene("urgences", [DISEASES, PATIENTS, COMPLAINTS], MEASURES | {
    "soignant": CARERS, "quand": WHEN, "severe": SEVERITY}, """
Motif : {s1} {quand}. || Motif de recours : {s1} et {s2}.
{patient.Un} de {age} ans, {adressé@patient} par son médecin traitant pour {s1.un}. || {sexe.^} de {age} ans, {amené@sexe} par les pompiers pour {s1.un} {quand}.
Constantes : température {temperature} °C, tension {systole}/{diastole} mmHg, pouls {pouls}/min, saturation {saturation} %.
{patient.Le} est {conscient@patient} et bien {orienté@patient}. || {patient.Il} est {pâle@patient} et {fatigué@patient}. || {patient.Le} est {calme@patient} mais {douloureux@patient}.
Examen : {signe}. || L'interne retrouve {signe}.
{soignant.Le} {soignant?pose|posent} une perfusion et {soignant?réalise|réalisent} un bilan sanguin. || {soignant.Le} {soignant?installe|installent} {patient.le} dans un box.
Biologie : protéine C réactive à {crp} mg/L. || Le bilan biologique est normal.
{examen.Le} {site.du} montre {maladie.un}. || {examen.^} {site.du} : {maladie} {severe@maladie}.
Avis {medecin.du} : {remede} {dose} {prise}. || {medecin.Le}, {appelé@medecin} en urgence, prescrit {remede.du} à la dose de {dose}.
? Le médecin prescrit {secours.du} contre {plainte.le}. || {secours.Le} ({quantite}) soulage {plainte.le}.
Conclusion : {maladie}. || Diagnostic retenu : {maladie} {severe@maladie}.
{patient.Le} est {transféré@patient} en soins intensifs en raison du risque {suite.de}. || {patient.Le} est {hospitalisé@patient} pour surveillance. || Retour à domicile avec {remede.du} pour {jours} jours.
""")  # fmt: skip

LEAFLET = scene("notice", [DISEASES, COMPLAINTS], {"jours jours2": numbers(3, 14), "soignant": CARERS}, """
{remede.Le} est un médicament utilisé pour traiter {maladie.le}. || {remede.Le} est {indiqué@remede} dans le traitement {maladie.du}.
La dose habituelle est de {dose} {prise}. || On prend en général {dose} {prise} pendant {jours} jours.
Ne prenez pas {remede.de} sans l'avis d'un médecin. || Demandez conseil à votre pharmacien avant de prendre {remede.du}.
{maladie.Le} provoque souvent {s1.un} et {s2.un}. || {s1.Le} et {s2.le} sont les principaux signes {maladie.du}.
Pour surveiller {maladie.le}, {medecin.le} demande {examen.un} {site.du}. || {medecin.Le} suit {maladie.le} par {examen.un} {site.du}.
? Le médecin prescrit {secours.du} contre {plainte.le}. || {secours.Le} {forme} est {utilisé@secours} contre {plainte.le}. || En cas {plainte.de}, on peut associer {secours.du} : {quantite} au maximum par prise.
{facteur.Le} favorise {maladie.le}. || Parmi les causes {maladie.du}, on trouve {facteur.le}.
? Sans traitement, {maladie.le} peut se compliquer {suite.dun}. || {suite.Le} est la complication la plus redoutée {maladie.du}.
Si {s1.le} persiste après {jours2} jours, consultez {medecin.un}. || Arrêtez {remede.le} et consultez rapidement si une réaction cutanée apparaît. || Conservez {remede.le} à l'abri de la lumière et hors de la portée des enfants.
""")  # fmt: skip

NURSING = scene("transmissions", [DISEASES, PATIENTS, COMPLAINTS], MEASURES | {"soignant": CARERS}, """
Ce matin, {patient.le} se plaint {s1.dun} et {plainte.dun}. || La nuit a été calme, mais {patient.le} garde {s1.un}. || À sept heures, {soignant.le} {soignant?note|notent} {s1.un} {persistant@s1}.
La température est de {temperature} °C et la tension de {systole}/{diastole} mmHg. || Le pouls est à {pouls} battements par minute et la saturation à {saturation} %.
{soignant.Le} {soignant?donne|donnent} {secours.du} {forme} contre {plainte.le}. || Le médecin prescrit {secours.du} contre {plainte.le}. || {patient.Il} a reçu {quantite} {secours.de} {forme}.
{remede.Le} est {administré@remede} {prise}, à la dose de {dose}. || {patient.Le} prend bien {remede.le}, {dose} {prise}.
? {soignant.Le} {soignant?aide|aident} {patient.le} à se lever et à faire sa toilette. || {patient.Le} mange peu et boit assez. || {patient.Il} marche dans le couloir avec {soignant.un}.
{examen.Le} {site.du} est {prévu@examen} demain. || {examen.Le} {site.du} montre {maladie.un}.
? {medecin.Le} passera voir {patient.le} dans l'après-midi. || {medecin.Le} est {prévenu@medecin}.
Sortie possible dans {jours} jours si {s1.le} disparaît. || La surveillance {patient.du} continue toutes les quatre heures. || {patient.Le} est {rassuré@patient} et la famille est informée.
""")  # fmt: skip

CLINICAL_SCENES: tuple[Scene, ...] = (STAY, VISIT, EMERGENCY, LEAFLET, NURSING)
