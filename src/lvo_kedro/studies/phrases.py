"""Words about an occlusion in several languages, as patterns without accents and capitals.

English, German, French, Spanish, Italian, Portuguese, Dutch; :mod:`lvo_kedro.studies.words` says
how they are read.
"""

from __future__ import annotations

from typing import Final

BOTH: Final = "both"
"""The side of an occlusion on either side."""
ARTERY: Final = r"m[1-4]|ica|aci|mca|acm|c7"
SIDES: Final = {
    "left": r"left|lt|l|li|links?|linke[mnrs]?|linksseitig\w*|gauche|izq|izquierd[ao]|sx"
    # without, in Spanish, unless nothing or an artery follows
    rf"|sin(?= (?:{ARTERY})\b|$)|sinistr[aio]|esquerd[ao]",
    "right": r"right|rt|r|re|rechts?|rechte[mnrs]?|rechtsseitig\w*|droite?|derech[ao]|dx|dext\w*"
    r"|destr[ao]|direit[ao]",
    BOTH: r"both|bilat\w*|bds|beid(?:e[rns]?)?(?:seit\w*)?|ambos|ambas|entramb[ei]",
}
BESIDE_SIDES: Final = (
    r"on|the|sided?|seite|seitig|hemisphere|und|and|et|e|y|auf|der|a|cote|lato|lado"
)
CLINICAL: Final = (
    r"\w*pares\w*|\w*plegi\w*|weakness|neglect|handed|\w*aphas\w*|facial\w*|schwache|sensory"
)
"""Beside these a side is that of the patient's signs, not of the artery."""
CAROTID: Final = r"ica|aci|(?:internal )?carotid\w*|karotis|carotis(?: interna)?"
T: Final = (
    rf"(?:{CAROTID}) ?t|t (?:{CAROTID})|t (?:occlusion|verschluss)"
    r"|(?:top|apex) of (?:the )?(?:carotid|ica)"
)
IN_THE_HEAD: Final = r"intra[ck]ran\w*|termin\w*|distal\w*|supra[ck]lin\w*"
C7: Final = (
    rf"c7|(?:{IN_THE_HEAD}) (?:{CAROTID})|(?:{CAROTID}) (?:{IN_THE_HEAD})(?! m[12])"
    rf"|(?:{IN_THE_HEAD}) (?:part|segment|portion) of (?:the )?(?:{CAROTID})"
)
IN_THE_NECK: Final = (
    r"c1|[cz]ervi[ck]al\w*|extra[ck]ran\w*|neck|hals\w*|bulb\w*|cca|common carotid|carotis communis"
    rf"|proximal\w* (?:{CAROTID})|(?:{CAROTID}) proximal\w*"
)
MCA: Final = r"mca|acm|media\w*|middle cerebral|cerebri media"
PARTS: Final = {
    "M1": rf"m1|\w*hauptstamm\w*|main stem|(?:{MCA}) (?:main )?(?:stem|trunk)"
    rf"|(?:stem|trunk) of (?:the )?(?:{MCA})|tronc (?:de )?(?:l )?(?:{MCA}|sylvien\w*)",
    "M2": r"m2",
}
ELSEWHERE: Final = (
    r"m[34]|a[1-5]|p[1-4]|v[1-4]|aca|pca|acp|basila\w*|ba|va|vertebr\w*|pica|aica|sca|mevo|dvo"
    r"|(?:anterior|posterior) cerebral|cerebri (?:anterior|posterior)"
)
OCCLUSION: Final = (
    r"lvo|(?:re)?o[ck]{1,2}lu\w*|\w*verschl\w*|\w*afsluiting\w*|thromb(?:us|en|i|os\w*)"
)
DENY: Final = (
    rf"no|non|not|without|kein\w*|ohne|nicht|sans|pas|aucune?|sin(?! (?:{ARTERY})\b)(?= )"
    r"|ningun\w*|sem|nao|nessun\w*|senza|geen|niet|absence|assenza|ausencia|ausschluss|exclusion"
)
BETWEEN: Final = (
    r"a|an|any|the|of|for|signs?|acute|new|proximal\w*|distal\w*|intra[ck]ran\w*|large|major|great"
    r"|vessel|arterial|artery|cerebral|anhalt|hinweis\w*|auf|fur|eine[nrsm]?|des|der|den|akut\w*"
    r"|frisch\w*|relevant\w*|gross\w*|signes?|de|d|du|une?|una|uno|di|da|do|um|uma|segni|grand\w*"
    r"|gran|vaisseau\w*|vaso\w*|aanwijzing\w*|voor|een|grote|or|oder|ou|left|right|links|rechts"
    rf"|linke\w*|rechte\w*|{CAROTID}|{ARTERY}|evidence|nachweis\w*|eviden[cz]\w*"
)
"""What may stand between a denial and the occlusion that it denies."""
DENIED: Final = (
    rf"(?:{DENY}) (?:(?:{BETWEEN}) )*?(?:{OCCLUSION})"
    rf"|(?:{OCCLUSION}) (?:is |ist )?(?:absent\w*|exclu\w*|ausgeschl\w*|ausschluss|ruled out"
    r"|neg\w*|no|nein|non|none|0)"
)
NOTHING_THERE: Final = (
    rf"(?:{DENY}) (?:(?:{BETWEEN}) )*?(?:evidence|nachweis|hinweis|anhalt|{ARTERY})"
)
NORMAL: Final = r"negativ\w*|unauffallig\w*|normal\w*|none|nil"
ELSE: Final = (
    r"ha?emorr?h?ag\w*|hamorr\w*|emorrag\w*|\w*blutung\w*|bleed\w*|sangr\w*|bloeding\w*|ich|icb|sah"
    r"|sab|sdh|\w*infar[ck]t\w*|fra[ck]tur\w*|t?h?rombol\w*|thromb?e[ck]t\w*|trombect\w*|lyse\w*"
    r"|lysis|tpa|aneurysm\w*|diss[e][ck]\w*|stenos\w*|mass|tumou?r\w*|\w*odem\w*|edema|shift"
)
"""What a report denies besides."""
DENIED_ELSE: Final = rf"(?:{DENY}) (?:(?!(?:{OCCLUSION})\b)\w+ ){{0,4}}?(?:{ELSE})"
OPEN: Final = r"patent|open|offen\w*|durchgang\w*|permeable|re[ck]anali\w*|\w*stenos\w*"
"""An artery of which this is said is not occluded, or is no longer."""
DOUBT: Final = (
    r"\?|possibl\w*|probabl\w*|fraglich\w*|verdacht|suspect\w*|suspicion|unklar\w*|unclear"
    r"|evtl|eventuell\w*|moglich\w*|unlikely|unwahrsch\w*|rule out|zum ausschluss|beurteil\w*"
    r"|assess\w*|visuali\w*|seen|sichtbar|abgrenzbar|nachweisbar|questionabl\w*|vermut\w*"
)
YES: Final = r"1|yes|y|ja|j|oui|si|sim|true|wahr|vrai|pos\w*"
NO: Final = r"0|no|n|nein|non|nao|false|falsch|faux|neg\w*"
ABBREVIATIONS: Final = {
    r"\bv\.\s*a\.|\bva\.": " suspect ",
    r"\br/o\b": " rule out ",
    r"\bw/o\b": " without ",
    r"\b[ld]['’]": " ",  # l'occlusion is not on the left
    r"\bre[- ](?=o[ck]+l|thromb|verschl)": "re",  # nor is a re-occlusion on the right
    r"\b(carotid|karotis)-[tl]\b|\b(ica|aci)-t\b": r" \1\2 t ",
}
