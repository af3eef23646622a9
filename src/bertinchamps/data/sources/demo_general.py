"""The general register of the toy corpus, first half: weather, home, kitchen, market, trades, nature."""
# ruff: noqa: E501 (a table has its row, and a step its alternatives, on one line)

from __future__ import annotations

from bertinchamps.data.sources.demo_grammar import Scene, scene
from bertinchamps.data.sources.demo_words import numbers, table, words

PEOPLE = words(
    "n",
    """Alice,f / Paul,m / Inès,f / Hugo,m / Camille,f / Louis,m / Jeanne,f / Adam,m / Chloé,f / Victor,m /
    Emma,f / Jules,m / Léa,f / Antoine,m / Manon,f / Olivier,m / Nora,f / Simon,m / Élise,f / Karim,m / Sarah,f / Bruno,m""",
)
CITIES = words(
    "n",
    """Paris,m / Lyon,m / Lille,m / Bordeaux,m / Nantes,m / Strasbourg,m / Toulouse,m / Rennes,m / Angers,m /
    Grenoble,m / Dijon,m / Nancy,m / Amiens,m / Reims,m / Limoges,m / Orléans,m / Avignon,m / Besançon,m / Namur,m / Liège,m""",
)
SEASONS = table("""
saison:n ; en ; verbe ; ciel:n ; sol:n ; vent:n ; habit:n ; fruit:np ; legume:np ; arbre ; froid:a ; degre
hiver,m ; en hiver ; neige ; brouillard,m / ciel gris,m ; verglas,m / neige,f ; bise,f ; manteau,m / bonnet,m / écharpe,f ; orange,f / mandarine,f ; poireau,m / endive,f ; sont nus ; glacial ; 0 / 1 / 2 / 3 / 4 / 5
printemps,m ; au printemps ; pleut ; averse,f / éclaircie,f ; boue,f / rosée,f ; brise,f ; imperméable,m / gilet,m ; cerise,f / fraise,f ; asperge,f / radis,m ; sont en fleurs ; doux,douce ; 11 / 12 / 13 / 14 / 15 / 16
été,m ; en été ; tonne ; soleil,m / ciel bleu,m ; sable,m / poussière,f ; brise,f ; chapeau,m / maillot,m ; pêche,f / melon,m ; tomate,f / courgette,f ; sont verts ; chaud ; 24 / 25 / 26 / 28 / 30 / 31
automne,m ; en automne ; pleut ; brume,f / nuage,m ; tapis de feuilles,m / boue,f ; bourrasque,f ; pull,m / parapluie,m ; pomme,f / raisin,m ; citrouille,f / champignon,m ; sont roux ; frais,fraîche ; 8 / 9 / 10 / 12 / 13
""")  # fmt: skip
DISHES = table("""
plat:n ; base:n ; ajout:np ; epice:n ; recipient:n ; cuire ; duree ; accord:n
soupe,f ; bouillon,m ; carotte,f / poireau,m ; thym,m ; marmite,f ; mijote ; quarante minutes ; pain grillé,m
omelette,f ; beurre,m ; œuf,m / champignon,m ; ciboulette,f ; poêle,f ; cuit ; cinq minutes ; salade verte,f
gratin,m ; crème,f ; pomme de terre,f,pommes de terre / courgette,f ; muscade,f ; plat,m ; dore ; une heure ; jambon,m
tarte,f ; pâte,f ; pomme,f / poire,f / abricot,m ; cannelle,f ; moule,m ; cuit ; trente-cinq minutes ; cidre,m
ratatouille,f ; huile d'olive,f ; aubergine,f / poivron,m / tomate,f ; basilic,m ; cocotte,f ; mijote ; une heure ; riz,m
quiche,f ; pâte,f ; lardon,m / œuf,m ; poivre,m ; moule,m ; dore ; trente minutes ; salade verte,f
crêpe,f ; farine,f ; œuf,m ; vanille,f ; poêle,f ; cuit ; deux minutes ; confiture,f
ragoût,m ; vin rouge,m ; oignon,m / carotte,f ; laurier,m ; cocotte,f ; mijote ; trois heures ; purée,f
couscous,m ; semoule,f ; pois chiche,m,pois chiches / navet,m ; cumin,m ; marmite,f ; mijote ; deux heures ; thé,m
mousse,f ; chocolat,m ; œuf,m ; sucre,m ; saladier,m ; repose ; quatre heures ; biscuit,m
confiture,f ; sucre,m ; fraise,f / prune,f / cerise,f ; citron,m ; bassine,f ; bout ; vingt minutes ; yaourt,m
""")  # fmt: skip
TRADES = table("""
metier:nn ; fait:v ; produit:n ; outil:n ; lieu:n ; quand ; qualite:a
boulanger,m / boulangère,f ; prépare,préparent ; pain,m ; four,m ; fournil,m ; avant l'aube ; croustillant
menuisier,m / menuisière,f ; fabrique,fabriquent ; armoire,f / table,f ; rabot,m / scie,f ; atelier,m ; le matin ; solide
couturier,m / couturière,f ; coud,cousent ; robe,f / veste,f ; aiguille,f ; atelier,m ; l'après-midi ; élégant
jardinier,m / jardinière,f ; taille,taillent ; haie,f / rosier,m ; sécateur,m ; parc,m ; à la belle saison ; fleuri
facteur,m / factrice,f ; distribue,distribuent ; courrier,m ; vélo,m ; quartier,m ; chaque matin ; urgent
pêcheur,m / pêcheuse,f ; relève,relèvent ; filet,m ; bateau,m ; port,m ; à l'aube ; lourd
agriculteur,m / agricultrice,f ; récolte,récoltent ; blé,m ; tracteur,m ; champ,m ; en juillet ; mûr,mûre
mécanicien,m / mécanicienne,f ; répare,réparent ; moteur,m / voiture,f ; clé,f ; garage,m ; toute la journée ; bruyant
peintre,m / peintre,f ; repeint,repeignent ; façade,f / mur,m ; pinceau,m / rouleau,m ; chantier,m ; par temps sec ; blanc,blanche
professeur,m / professeure,f ; explique,expliquent ; leçon,f ; tableau,m ; classe,f ; dès huit heures ; difficile
bibliothécaire,m / bibliothécaire,f ; range,rangent ; livre,m ; chariot,m ; bibliothèque,f ; le soir ; ancien
fromager,m / fromagère,f ; affine,affinent ; fromage,m ; planche,f ; cave,f ; pendant l'hiver ; crémeux
vigneron,m / vigneronne,f ; goûte,goûtent ; vin,m ; verre,m ; cave,f ; après les vendanges ; fruité
maçon,m / maçonne,f ; monte,montent ; mur,m / cloison,f ; truelle,f ; chantier,m ; dès sept heures ; droit
coiffeur,m / coiffeuse,f ; coupe,coupent ; frange,f ; peigne,m / paire de ciseaux,f ; salon,m ; sur rendez-vous ; long,longue
libraire,m / libraire,f ; conseille,conseillent ; roman,m ; catalogue,m ; librairie,f ; le samedi ; passionnant
berger,m / bergère,f ; garde,gardent ; troupeau,m ; bâton,m ; montagne,f ; tout l'été ; nombreux
apiculteur,m / apicultrice,f ; recueille,recueillent ; miel,m ; enfumoir,m ; verger,m ; au mois de juin ; doré
""")  # fmt: skip
ANIMALS = table("""
animal:nn ; mange:n ; gite:n ; crie:v ; aspect:a ; aime
chat,m / chatte,f ; souris,f ; panier,m ; miaule,miaulent ; souple ; dormir au soleil
chien,m / chienne,f ; pâtée,f ; niche,f ; aboie,aboient ; fidèle ; courir après la balle
vache,f ; herbe,f ; étable,f ; meugle,meuglent ; paisible ; ruminer dans le pré
cheval,m,chevaux / jument,f ; avoine,f ; écurie,f ; hennit,hennissent ; rapide ; galoper dans le pré
poule,f ; grain,m ; poulailler,m ; caquette,caquettent ; roux,rousse ; gratter la terre
mouton,m / brebis,f ; foin,m ; bergerie,f ; bêle,bêlent ; blanc,blanche ; suivre le troupeau
loup,m / louve,f ; viande,f ; tanière,f ; hurle,hurlent ; gris ; chasser la nuit
abeille,f ; nectar,m ; ruche,f ; bourdonne,bourdonnent ; travailleur,travailleuse ; butiner les fleurs
oiseau,m / merle,m ; graine,f ; nid,m ; chante,chantent ; léger ; voler de branche en branche
cochon,m ; gland,m ; porcherie,f ; grogne,grognent ; rose ; se rouler dans la boue
âne,m / ânesse,f ; chardon,m ; étable,f ; brait,braient ; têtu ; brouter au bord du chemin
grenouille,f ; mouche,f ; mare,f ; coasse,coassent ; vert ; plonger dans l'eau
lion,m / lionne,f ; gazelle,f ; savane,f ; rugit,rugissent ; puissant ; dormir à l'ombre
canard,m / cane,f ; pain,m ; étang,m ; cancane,cancanent ; gourmand ; nager en file
""")  # fmt: skip
KIN = words(
    "nn",
    "enfant,m / cousin,m / cousine,f / voisin,m / voisine,f / ami,m / amie,f / neveu,m / nièce,f / élève,m / camarade,m",
)
ELDERS = words(
    "n", "mère,f / père,m / grand-mère,f / grand-père,m / tante,f / oncle,m / sœur,f / frère,m / voisine,f"
)
ROOMS = words(
    "n",
    "cuisine,f / salon,m / chambre,f / entrée,f / grenier,m / garage,m / bureau,m / couloir,m / véranda,f",
)
FURNITURE = words("nn", "table,f / chaise,f / étagère,f / lampe,f / rideau,m / tapis,m / fauteuil,m / miroir,m / armoire,f / "
                  "coussin,m / porte,f / fenêtre,f / volet,m / canapé,m / tiroir,m / commode,f")  # fmt: skip
COLOURS = words(
    "a",
    "bleu / blanc,blanche / rouge / vert / gris / noir / jaune / violet,violette / clair / rose / brun / beige",
)
QUALITIES = words("a", "petit / vieux,vieille / beau,belle / grand / joli / nouveau,nouvelle")
STATES = words(
    "a",
    "content / fatigué / heureux / inquiet,inquiète / curieux / impatient / tranquille / surpris / fier,fière",
)
GOODS = words(
    "nn",
    "lettre,f / cadeau,m / clé,f / journal,m,journaux / valise,f / photo,f / parapluie,m / sac,m / livre,m / montre,f",
)
MOMENTS = words("", "ce matin / hier soir / dimanche / à midi / après le dîner / en fin de journée / très tôt / samedi dernier / "
                "pendant les vacances / au retour de l'école / vers dix heures")  # fmt: skip
COUNTS = words("", "deux / trois / quatre / cinq / six / huit / dix / douze / quinze / vingt")

WEATHER = scene("météo", [SEASONS], {"ville ville2": CITIES, "kmh": numbers(20, 90, 5),
                                     "qui": PEOPLE, "kin": KIN, "quand": MOMENTS}, """
{en.^}, il {verbe} souvent en montagne. || {quand.^}, {ciel.le} revient sur {ville}. || {saison.Le} est {froid@saison} cette année à {ville}.
{ciel.Le} domine ce matin à {ville} et les températures ne dépassent pas {degre} °C. || À {ville}, le thermomètre affiche {degre} °C sous {ciel.le}. || Il fait {degre} °C à {ville} et les arbres {arbre}.
{vent.Le} souffle à {kmh} kilomètres à l'heure près {ville2.de}. || {vent.Un} {froid@vent} souffle sur la côte. || Le vent atteindra {kmh} kilomètres à l'heure à {ville2}.
? {sol.Le} recouvre les chemins. || {kin.Le} {kin?regarde|regardent} {ciel.le} par la fenêtre.
{qui} sort avec {habit.son} parce qu'{qui.il} craint {vent.le}. || {qui} n'oublie pas {habit.son} quand {qui.il} sort. || {en.^}, {qui} porte {habit.un}.
? Au marché, on trouve {fruit.du} et {legume.du}. || {fruit.Le} et {legume.le} sont de saison.
{en.^}, les arbres {arbre} et {ciel.le} revient chaque matin. || {kin.Le} {kin?aime|aiment} {saison.le} malgré {vent.le}. || Demain, {ciel.le} laissera place à une journée plus calme à {ville}.
""")  # fmt: skip

KITCHEN = scene("cuisine", [DISHES], {"qui": PEOPLE, "aine": ELDERS, "kin": KIN, "n n2": COUNTS,
                                      "quand": MOMENTS, "gramme": numbers(50, 500, 50)}, """
{quand.^}, {qui} prépare {plat.un} pour {aine.son} et {kin.un}. || {plat.Le} est le plat préféré {aine.du} {qui.de}. || Pour faire {plat.un}, {qui} prend {base.du} et {ajout.du}.
{qui.Il} lave {ajout.le} et les coupe en {n} morceaux. || On commence par laver {ajout.le}. || {qui} pèse {gramme} g {ajout.de} et sort {recipient.le} du placard.
{qui.Il} verse {base.le} dans {recipient.le}, puis ajoute {ajout.le}. || Dans {recipient.un}, on mélange {base.le} et {ajout.le}. || {base.Le} chauffe doucement dans {recipient.le}.
{qui.Il} ajoute {epice.du} et une pincée de sel. || Il ne manque plus que {epice.le}. || {epice.Le} parfume {plat.le}.
{plat.Le} {cuire} pendant {duree}. || Il faut patienter {duree} : {plat.le} {cuire}. || Pendant que {plat.le} {cuire}, {qui} met la table.
? {kin.Le} {kin?arrive|arrivent} et {kin?goûte|goûtent} {plat.le} avec {accord.du}. || {plat.Le} se sert avec {accord.du}. || {aine.Le} {qui.de} apporte {accord.du}.
{kin.Le} {kin?est|sont} {content@kin} et {kin?reprend|reprennent} {plat.du}. || {qui} est {heureux@qui} : {plat.le} est {réussi@plat}. || Il reste {plat.du} pour {n2} personnes.
""")  # fmt: skip

TRADE = scene("métiers", [TRADES], {"ville": CITIES, "qui": PEOPLE, "n": COUNTS, "kin": KIN}, """
{metier.Le} {fait@metier} {produit.le} {quand}. || {metier.Le} {fait@metier} {produit.le} {quand}. || À {ville}, {metier.le} {metier?travaille|travaillent} {quand}.
{metier.Il} {metier?utilise|utilisent} {outil.un}. || {metier.Il} ne {metier?quitte|quittent} jamais {outil.le}. || Sans {outil.le}, {metier.le} ne {metier?peut|peuvent} rien faire.
? {produit.Le} est {qualite@produit}, dit {qui}. || {lieu.Le} se trouve au centre {ville.de}. || On reconnaît {lieu.le} à {outil.son} près de la porte.
{qui} est {venu@qui} voir {metier.le} avec {kin.un}. || {kin.Le} {kin?attend|attendent} devant {lieu.le}. || {qui} a {n} questions à poser {metier.au}.
{metier.Le} {metier?est|sont} {fier,fière@metier} quand {produit.le} est {qualite@produit}. || {metier.Il} {metier?a|ont} appris le métier à {ville} en {n} ans.
? {metier.Le} {metier?forme|forment} {kin.le}, qui {kin?apprend|apprennent} vite. || {metier.Il} {metier?rentre|rentrent} tard, mais {metier.il} {metier?aime|aiment} {lieu.le}.
""")  # fmt: skip

NATURE = scene("animaux", [ANIMALS], {"qui": PEOPLE, "kin": KIN, "n": COUNTS, "quand": MOMENTS, "qualite": QUALITIES}, """
{animal.Le} {crie@animal} près {gite.du}. || {quand.^}, {qui} a vu {animal.un} près {gite.du}. || {animal.Le} {qui.de} {animal?vit|vivent} dans {gite.le}.
{animal.Il} {animal?mange|mangent} {mange.du} et {animal?aime|aiment} {aime}. || {animal.Le} {aspect@animal} {animal?aime|aiment} {aime}. || {animal.Le} {animal?cherche|cherchent} {mange.du}.
Quand {animal.le} {animal?a|ont} peur, {animal.il} {crie@animal}. || {kin.Le} {kin?écoute|écoutent} {animal.le} qui {crie@animal}. || {animal.Il} {crie@animal} dès {qui.que} approche.
? {qui} a compté {n} animaux autour {gite.du}. || {gite.Le} est {abrité@gite} du vent. || {kin.Le} {kin?joue|jouent} loin {gite.du} pour ne pas déranger {animal.le}.
{qui} trouve que {animal.le} {animal?est|sont} bien {aspect@animal}. || {animal.Le} {animal?est|sont} {aspect@animal}, {animal?il revient|elle revient|ils reviennent|elles reviennent} toujours {gite.au}. || {quand.^}, {animal.le} {animal?dort|dorment} dans {gite.le}.
""")  # fmt: skip

HOME = scene("maison", [], {"qui": PEOPLE, "aine": ELDERS, "piece piece2": ROOMS, "objet": FURNITURE, "meuble": FURNITURE,
                            "couleur couleur2": COLOURS, "belle": QUALITIES, "etat": STATES, "chose": GOODS, "kin": KIN,
                            "quand quand2": MOMENTS, "n": COUNTS}, """
{quand.^}, {qui} range {piece.le} avec {aine.son}. || {qui} habite une maison avec {piece.un} et {piece2.un}. || {aine.Le} {qui.de} a repeint {piece.le}.
{objet.Le} {couleur@objet} {objet?se trouve|se trouvent} dans {piece.le}. || Dans {piece.le}, il y a {objet.un} {couleur@objet}. || {qui.Il} pose {objet.le} {couleur@objet} dans {piece.le}.
{meuble.Le} {meuble?est|sont} {couleur2@meuble}, comme {piece2.le}. || {qui} cherche {chose.son} dans {piece2.le}. || {qui.Il} a acheté {meuble.un} {couleur2@meuble} pour {piece2.le}.
Les enfants jouent dans le jardin. || {kin.Le} {kin?joue|jouent} dans {piece2.le}. || {kin.Le} {kin?lit|lisent} dans {piece.le} et {kin?semble|semblent} {etat@kin}.
? {aine.Le} appelle {qui} : le repas est prêt. || {quand2.^}, {kin.le} {kin?vient|viennent} dîner à la maison. || {qui} dit qu'{qui.il} est {etat@qui}. || {qui} ferme la porte {piece.du}.
{chose.Le} {chose?a|ont} disparu ; {qui} {chose?le|la|les|les} retrouve sous {objet.le}. || {qui.Il} a trouvé {chose.un} derrière {meuble.le}. || {qui.Il} offre {chose.un} {kin.au}.
{quand2.^}, toute la famille dort et la maison est calme. || {kin.Le} {kin?remercie|remercient} {qui} et {kin?rentre|rentrent} à pied. || {qui} éteint la lumière {piece.du} et va se coucher. || {qui.Il} a travaillé pendant {n} heures, {qui.il} est {fatigué@qui}.
""")  # fmt: skip

MARKET = scene("marché", [SEASONS], {"qui": PEOPLE, "aine": ELDERS, "ville": CITIES, "euro euro2": numbers(2, 19), "n n2": COUNTS,
                                     "kin": KIN, "etat": STATES, "couleur": COLOURS}, """
{en.^}, {qui} va au marché {ville.de} avec {aine.son}. || Le marché {ville.de} ouvre à sept heures, même {en}, et {qui} y va tôt.
{qui.Il} achète {fruit.du} et {legume.du}. || {fruit.Le} sont {mûr,mûre@fruit} et {legume.le} sont bien {frais,fraîche@legume}. || Le marchand propose {n} kilos {fruit.de}.
{fruit.Le} coûtent {euro} euros le kilo. || Le kilo {legume.de} est à {euro2} euros. || {qui} paie {euro} euros pour {n} kilos {legume.de}.
? {aine.Le} trouve {legume.le} trop {cher,chère@legume}. || {kin.Le} {kin?préfère|préfèrent} {fruit.le}. || Un marchand porte {habit.un} {couleur@habit}.
{qui} met {legume.le} dans un panier. || {qui} rentre avec {n2} sacs remplis {fruit.de}. || {kin.Le} {kin?porte|portent} le panier et {kin?est|sont} {etat@kin}.
Le soir, {qui} prépare une salade avec {legume.du}. || À la maison, {aine.le} épluche {legume.le}. || {en.^}, rien ne vaut {fruit.du} du marché.
""")  # fmt: skip

GENERAL_SCENES: tuple[Scene, ...] = (WEATHER, KITCHEN, TRADE, NATURE, HOME, MARKET)
