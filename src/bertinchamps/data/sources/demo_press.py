"""The general register of the toy corpus, second half: press, countries, travel, offices, school, sport."""
# ruff: noqa: E501 (a table has its row, and a step its alternatives, on one line)

from __future__ import annotations

from bertinchamps.data.sources.demo_general import CITIES, COUNTS, ELDERS, KIN, MOMENTS, PEOPLE, STATES
from bertinchamps.data.sources.demo_grammar import Scene, scene
from bertinchamps.data.sources.demo_words import numbers, table, words

COUNTRIES = table("""
pays:n ; en ; capitale:n ; langue:n ; monnaie:n ; mets:np ; gens:np ; relief:n
France,f ; en France ; Paris,m ; français,m ; euro,m ; croissant,m / crêpe,f ; Français,m ; Alpes,f
Italie,f ; en Italie ; Rome,f ; italien,m ; euro,m ; pâte,f / pizza,f ; Italien,m ; Vésuve,m
Espagne,f ; en Espagne ; Madrid,m ; espagnol,m ; euro,m ; tapas,m / orange,f ; Espagnol,m ; plateau central,m
Allemagne,f ; en Allemagne ; Berlin,m ; allemand,m ; euro,m ; saucisse,f / bretzel,m ; Allemand,m ; forêt noire,f
Portugal,m ; au Portugal ; Lisbonne,f ; portugais,m ; euro,m ; sardine,f ; Portugais,m ; littoral,m
Belgique,f ; en Belgique ; Bruxelles,f ; néerlandais,m / français,m ; euro,m ; gaufre,f / frite,f ; Belge,m ; Ardenne,f
Grèce,f ; en Grèce ; Athènes,f ; grec,m ; euro,m ; olive,f ; Grec,m ; Olympe,m
Autriche,f ; en Autriche ; Vienne,f ; allemand,m ; euro,m ; gâteau,m ; Autrichien,m ; Tyrol,m
Irlande,f ; en Irlande ; Dublin,m ; anglais,m ; euro,m ; ragoût,m ; Irlandais,m ; littoral,m
Pologne,f ; en Pologne ; Varsovie,f ; polonais,m ; zloty,m ; ravioli,m ; Polonais,m ; Carpates,f
Hongrie,f ; en Hongrie ; Budapest,f ; hongrois,m ; forint,m ; goulache,m ; Hongrois,m ; plaine,f
Norvège,f ; en Norvège ; Oslo,f ; norvégien,m ; couronne,f ; saumon,m ; Norvégien,m ; fjord,m
Suède,f ; en Suède ; Stockholm,f ; suédois,m ; couronne,f ; hareng,m ; Suédois,m ; archipel,m
Japon,m ; au Japon ; Tokyo,f ; japonais,m ; yen,m ; sushi,m ; Japonais,m ; mont Fuji,m
Chine,f ; en Chine ; Pékin,f ; chinois,m ; yuan,m ; nouille,f ; Chinois,m ; Himalaya,m
Maroc,m ; au Maroc ; Rabat,f ; arabe,m ; dirham,m ; datte,f / tajine,m ; Marocain,m ; Atlas,m
Sénégal,m ; au Sénégal ; Dakar,f ; wolof,m / français,m ; franc,m ; mangue,f ; Sénégalais,m ; littoral,m
Canada,m ; au Canada ; Ottawa,f ; anglais,m / français,m ; dollar,m ; crêpe,f ; Canadien,m ; Grand Nord,m
Mexique,m ; au Mexique ; Mexico,f ; espagnol,m ; peso,m ; tacos,m ; Mexicain,m ; désert,m
Pérou,m ; au Pérou ; Lima,f ; espagnol,m ; sol,m ; patate douce,f,patates douces ; Péruvien,m ; Andes,f
Tunisie,f ; en Tunisie ; Tunis,f ; arabe,m ; dinar,m ; figue,f ; Tunisien,m ; désert,m
Suisse,f ; en Suisse ; Berne,f ; allemand,m / français,m ; franc,m ; fromage,m ; Suisse,m ; Jura,m
Finlande,f ; en Finlande ; Helsinki,f ; finnois,m ; euro,m ; baie,f ; Finlandais,m ; forêt,f
""")  # fmt: skip
EVENTS = table("""
fait:n ; cause:n ; acteur:np ; agir ; degat:np ; lieu:n
incendie,m ; mégot,m / court-circuit,m ; pompier,m ; maîtrisent les flammes ; toiture,f / hangar,m ; usine,f / forêt,f / immeuble,m
inondation,f ; crue,f / orage,m ; secouriste,m ; évacuent les habitants ; cave,f / route,f ; vallée,f / centre-ville,m
grève,f ; réforme,f / baisse des salaires,f ; salarié,m / cheminot,m ; réclament une augmentation ; train,m / bus,m ; gare,f / dépôt,m
cambriolage,m ; porte ouverte,f / vitre brisée,f ; policier,m / gendarme,m ; recherchent les voleurs ; bijou,m,bijoux / tableau,m ; musée,m / bijouterie,f
tempête,f ; dépression,f ; agent,m / technicien,m ; rétablissent le courant ; arbre,m / toiture,f ; côte,f / village,m
accident,m ; verglas,m / excès de vitesse,m ; gendarme,m ; règlent la circulation ; voiture,f / camion,m ; autoroute,f / carrefour,m
exposition,f ; anniversaire,m / don,m ; peintre,m / sculpteur,m ; présentent leurs œuvres ; toile,f / statue,f ; musée,m / galerie,f
concert,m ; fête,f / anniversaire,m ; musicien,m / chanteur,m ; jouent devant un public nombreux ; chanson,f / symphonie,f ; théâtre,m / place,f
élection,f ; démission,f ; candidat,m / candidate,f ; présentent leur programme ; bulletin,m / affiche,f ; mairie,f / école,f
fouille,f ; chantier,m ; archéologue,m ; dégagent les vestiges ; pièce,f / vase,m ; champ,m / place,f
""")  # fmt: skip
PAPERS = table("""
papier:n ; bureau:n ; piece:np ; agent:n ; but
passeport,m ; préfecture,f ; photo,f / timbre fiscal,m,timbres fiscaux ; employé,m / employée,f ; voyager à l'étranger
permis de conduire,m ; préfecture,f ; attestation,f ; inspecteur,m / inspectrice,f ; conduire une voiture
carte d'identité,f ; mairie,f ; photo,f / justificatif,m ; employé,m / employée,f ; prouver son identité
permis de construire,m ; mairie,f ; plan,m ; architecte,m / architecte,f ; agrandir la maison
déclaration de revenus,f ; centre des impôts,m ; justificatif,m / bulletin de paie,m,bulletins de paie ; inspecteur,m / inspectrice,f ; payer l'impôt
allocation,f ; caisse,f ; facture,f / attestation,f ; conseiller,m / conseillère,f ; payer le loyer
inscription,f ; université,f ; diplôme,m / relevé de notes,m,relevés de notes ; secrétaire,m / secrétaire,f ; suivre les cours
bourse,f ; rectorat,m ; relevé de notes,m,relevés de notes ; conseiller,m / conseillère,f ; financer les études
prêt,m ; banque,f ; bulletin de paie,m,bulletins de paie ; conseiller,m / conseillère,f ; acheter un appartement
contrat de travail,m ; entreprise,f ; diplôme,m / certificat,m ; directeur,m / directrice,f ; commencer à travailler
remboursement,m ; mutuelle,f ; facture,f / ordonnance,f ; conseiller,m / conseillère,f ; couvrir les soins
""")  # fmt: skip
SPORTS = table("""
sport:n ; point:np ; terrain:n ; joueur:np ; geste
football,m ; but,m ; stade,m ; attaquant,m / défenseur,m ; marque de la tête
rugby,m ; essai,m ; stade,m ; pilier,m / ailier,m ; plaque son adversaire
basket,m ; panier,m ; gymnase,m ; joueur,m / meneur,m ; tire à trois points
handball,m ; but,m ; gymnase,m ; gardien,m / pivot,m ; arrête un tir
tennis,m ; jeu,m ; court,m ; joueuse,f / joueur,m ; sert une balle rapide
natation,f ; médaille,f ; piscine,f ; nageur,m / nageuse,f ; plonge au signal
cyclisme,m ; victoire,f ; route,f ; coureur,m / sprinteur,m ; attaque dans la côte
ski,m ; médaille,f ; piste,f ; skieur,m / skieuse,f ; descend tout droit
athlétisme,m ; médaille,f ; stade,m ; sauteur,m / coureuse,f ; franchit la barre
""")
LESSONS = table("""
matiere:np ; outil:n ; sujet:n ; faire
mathématique,f ; règle,f / compas,m ; triangle,m / fraction,f ; calculer
science,f ; loupe,f / microscope,m ; cellule,f / plante,f ; observer
art plastique,m,arts plastiques ; pinceau,m / crayon,m ; portrait,m / paysage,m ; dessiner
langue étrangère,f,langues étrangères ; dictionnaire,m ; verbe,m / dialogue,m ; parler
sciences humaines,f,sciences humaines ; carte,f / atlas,m ; révolution,f / empire,m ; raconter
lettre classique,f,lettres classiques ; cahier,m / dictionnaire,m ; poème,m / fable,f ; lire
""")
RIDES = table("""
engin:n ; station:n ; chauffeur:n ; billet:n ; allure ; retard:n ; ville:n ; ville2:n
train,m ; gare,f ; contrôleur,m / contrôleuse,f ; billet,m ; roule à travers la campagne ; panne,f / neige,f ; Paris,m / Lille,m / Dijon,m ; Lyon,m / Angers,m / Nantes,m
avion,m ; aéroport,m ; pilote,m / hôtesse,f ; carte d'embarquement,f ; vole au-dessus des nuages ; brouillard,m / grève,f ; Paris,m / Lyon,m / Bruxelles,f ; Nice,f / Athènes,f / Rome,f
bateau,m ; port,m ; capitaine,m / matelot,m ; billet,m ; traverse la baie ; tempête,f / marée,f ; Marseille,f / Toulon,m / Nice,f ; Ajaccio,m / Bastia,f
autocar,m ; gare routière,f ; chauffeur,m / conductrice,f ; ticket,m ; suit la route nationale ; bouchon,m / verglas,m ; Nancy,f / Reims,m / Amiens,m ; Strasbourg,m / Orléans,m / Limoges,m
""")  # fmt: skip
PLANNED = words(
    "",
    "lundi / mardi / mercredi / jeudi / vendredi / samedi / dimanche / la semaine prochaine / le mois prochain",
)
YEARS = numbers(1958, 2024)

COUNTRY = scene("pays", [COUNTRIES], {"qui": PEOPLE, "n": COUNTS, "kin": KIN, "quand": MOMENTS, "an": YEARS}, """
La capitale {pays.du} est {capitale}. || {capitale} est la capitale {pays.du}. || La capitale {pays.du} est {capitale}. || {qui} part {en} et visitera {capitale}, la capitale.
{en.^}, on parle {langue}. || {gens.Le} parlent {langue}. || Pour vivre {en}, {qui} apprend {langue.le}.
On paie {en} avec {monnaie.le}. || {qui} change son argent, car {monnaie.le} est la monnaie {pays.du}. || {gens.Le} aiment {mets.le} et paient avec {monnaie.le}.
? À {capitale}, {qui} goûte {mets.du}. || {mets.Le} sont une spécialité {pays.du}. || {kin.Le} {qui.de} {kin?rêve|rêvent} {pays.du}.
? {qui} a vécu {n} ans à {capitale}. || En {an}, {qui} a traversé {pays.le} à vélo. || {quand.^}, {qui} a reçu une carte postée à {capitale}.
{gens.Le} accueillent {qui} avec le sourire. || {qui} est {heureux@qui} de découvrir {pays.le}. || {kin.Le} {kin?veut|veulent} visiter {capitale} et manger {mets.du}.
""")  # fmt: skip
NEWS = scene("presse", [EVENTS], {"ville ville2": CITIES, "n": COUNTS, "jour": PLANNED, "blesse": numbers(2, 90), "heure": numbers(1, 23),
                                  "kin": KIN, "etat": STATES, "euro": numbers(2, 60)}, """
{fait.Un} a eu lieu hier à {ville}. || {ville} : {fait.un} a marqué la journée. || {fait.Le} {ville.de} a commencé vers {heure} heures près {lieu.dun}.
{acteur.Le} {agir} depuis {n} heures. || Sur place, {acteur.le} {agir}. || {lieu.Le} {ville.de} attire les curieux et {acteur.le} {agir}.
{cause.Un} serait à l'origine {fait.du}. || Selon la mairie, {cause.un} explique {fait.le}. || Les autorités pensent {cause.quun} a provoqué {fait.le}.
{degat.Un} sont {concerné@degat}. || Plus de {blesse} personnes ont assisté {fait.au}. || Au total, {n} {degat} ont été {recensé@degat}.
? {kin.Le} d'un témoin {kin?se dit|se disent} {etat@kin}. || « Nous avons tout vu », {kin?raconte|racontent} {kin.le} d'un témoin. || Le maire {ville.de} remercie {acteur.le}.
? Le coût est estimé à {euro} millions d'euros. || {fait.Un} semblable avait touché {ville2} l'an dernier. || La ville voisine, {ville2}, a proposé son aide.
Une réunion est prévue {jour} à la mairie {ville.de}. || Le calme est revenu près {lieu.du}. || {acteur.Le} feront le point {jour}.
""")  # fmt: skip
OFFICE = scene("administration", [PAPERS], {"qui": PEOPLE, "ville": CITIES, "n": COUNTS, "jour": PLANNED, "euro": numbers(10, 90), "etat": STATES,
                                            "semaine": COUNTS, "aine": ELDERS}, """
{qui} demande {papier.un} pour {but}. || Pour {but}, {qui} a besoin {papier.dun}. || {qui} veut {but} et demande {papier.un}.
La demande se fait {bureau.au} {ville.de}. || {bureau.Le} {ville.de} ouvre à neuf heures. || {qui} prend rendez-vous {jour} {bureau.au}.
Il faut fournir {piece.du} et remplir un formulaire. || {agent.Le} vérifie {piece.le}. || {qui.Il} a oublié {piece.le} à la maison.
{agent.Le} signe le dossier et rend {piece.le} à {qui}. || {agent.Le} reçoit {qui} et lui explique la marche à suivre. || {agent.Le} {bureau.du} est {absent@agent} et reviendra {jour}.
? {papier.Le} coûte {euro} euros. || Le délai est de {semaine} semaines. || {aine.Le} {qui.de} attend aussi {papier.un}.
{qui} reçoit {papier.le} après {semaine} semaines. || {papier.Le} est {accordé@papier} et {qui} est {content@qui}. || {papier.Le} est {refusé@papier} : {qui} écrit au médiateur.
""")  # fmt: skip
TRAVEL = scene("voyage", [RIDES], {"qui": PEOPLE, "heure": numbers(6, 22), "minute": numbers(10, 55, 5), "jour": PLANNED,
                                   "kin": KIN, "etat": STATES, "aine": ELDERS, "n": COUNTS}, """
{qui} prend {engin.le} pour aller {ville.de} à {ville2}. || {qui} prend {engin.le} de {heure} h {minute} pour {ville2}. || {qui.^} arrive {station.au} {ville.de} à {heure} heures.
{qui.Il} montre {billet.son} {chauffeur.au}. || {chauffeur.Le} contrôle {billet.le} {qui.de}. || {qui} a perdu {billet.son} et {chauffeur.le} est {étonné@chauffeur}.
{engin.Le} {allure}. || Pendant le trajet, {engin.le} {allure}. || {kin.Le} {kin?dort|dorment} pendant que {engin.le} {allure}.
À cause {retard.du}, {engin.le} a {minute} minutes de retard. || {retard.Le} retarde {engin.le}. || {chauffeur.Le} annonce que {engin.le} est {bloqué@engin} {station.au}.
? {qui} est {assis@qui} près de la fenêtre. || {qui} lit un roman de {n} chapitres. || {qui.Il} est {etat@qui} et regarde le paysage.
{aine.Le} {qui.de} attend {station.au} {ville2.de}. || {qui} arrive enfin à {ville2}, où {aine.son} habite. || {qui} rentrera à {ville} {jour}.
""")  # fmt: skip
MATCH = scene("sport", [SPORTS], {"ville ville2": CITIES, "n n2": COUNTS, "spectateur": numbers(2, 45), "jour": PLANNED, "kin": KIN, "etat": STATES}, """
L'équipe {ville.de} affronte celle {ville2.de} {jour}. || {sport.Le} passionne les habitants {ville.de}. || Près de {spectateur} mille spectateurs remplissent {terrain.le} {ville.de}.
Dès le début, une recrue {ville.de} {geste}. || {ville} gagne avec {n} {point}. || {joueur.Le} {ville.de} arrivent sur {terrain.le}.
{joueur.Le} {ville2.de} sont {fatigué@joueur}. || L'équipe {ville2.de} obtient {n2} {point}. || Le public applaudit {joueur.le}.
{kin.Le} {kin?crie|crient} et {kin?encourage|encouragent} {joueur.le}. || {kin.Le} {kin?est|sont} {etat@kin} après la rencontre. || Les entraîneurs félicitent {joueur.le}.
La prochaine rencontre {sport.de} aura lieu {jour} à {ville2}. || {terrain.Le} {ville.de} fermera ensuite pour des travaux. || {ville} reste en tête du championnat {sport.de}.
""")  # fmt: skip
SCHOOL = scene("école", [LESSONS], {"qui": PEOPLE, "kin": KIN, "n": COUNTS, "jour": PLANNED, "ville": CITIES}, """
{qui} aime {matiere.le} et va à l'école à {ville}. || Le cours {matiere.de} commence à huit heures. || {qui} prépare un examen {matiere.de}.
La classe étudie {sujet.un}. || Le professeur présente {sujet.un} aux élèves. || {qui} doit {faire} avec soin, car {sujet.le} est difficile.
{qui} sort {outil.son} de son sac. || Les élèves utilisent {outil.un}. || {qui} a prêté {outil.son} {kin.au}.
{kin.Le} {kin?écoute|écoutent} et {kin?pose|posent} {n} questions. || Les élèves apprennent à {faire}. || {kin.Le} {qui.de} {kin?comprend|comprennent} bien {sujet.le}.
L'examen {matiere.de} est prévu {jour}. || {qui} obtient une bonne note et {qui.il} est {fier,fière@qui}. || À la fin du cours, {qui} range {outil.le} et rentre {content@qui}.
""")  # fmt: skip

PRESS_SCENES: tuple[Scene, ...] = (COUNTRY, NEWS, OFFICE, TRAVEL, MATCH, SCHOOL)
