"""What people call a series, in many languages, as the few words that its choice turns on.

Descriptions are free text and may hold a name: only these words of them are ever shown.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "plain": (
        "plain pre ncct nect ncect nc noncontrast nonenhanced unenhanced nativ* nativni blanc "
        "simple basal* diretta smdc spc blanco blank kontrastsiz bezkontrast*",
        "平扫 平掃 非增强 未增强 単純 造影なし 非造影 비조영 нативн",
    ),
    "contrast": (
        "cect ce enhanced enhance* enh contrast* kontras* km mdc "
        "pdc inject* injected ipc iv civ cmdc venous venos* veineux",
        "增强 增強 造影 조영 контраст",
    ),
    "angio": (
        "cta cta* angio* angiocerebr* arteri* arterial* cow willis carotid* carotis karotis tsa "
        "tsao polygon* poligono vascular* vaskul* lvo cerebralangio*",
        "血管 动脉 動脈 혈관 ангио",
    ),
    "delayed": ("delay* spat* tardi* late venous venos* veineux", "延迟 遅延"),
    "perfusion": (
        "perf* ctp pct cbf cbv mtt tmax ttp tmip dynamic* dynam* vpct 4d",
        "灌注 灌流 パーフュージョン 관류 перфуз",
    ),
    "bone": (
        "bone* boneplus knochen* knochenfenster osseux osseuse os osso ossea* osea oseo hueso* bot "
        "botvenster kosc* kostn*",
        "骨 뼈 кост",
    ),
    "head": (
        "head headroutine brain cran* crane* skull neuro* hirn* kopf* neurocranium schadel* "
        "schaedel* cct tete cerveau encephal* encefal* cabeza cerebr* testa cervello cabeca hoofd "
        "schedel* hersen* glow* czaszk* mozg* hoved* huvud* kranium* kafa beyin",
        "头 頭 颅 顱 脑 腦 脳 뇌 머리 голов мозг череп",
    ),
    "neck": ("neck hals* cou cuello collo pescoco nek szyj* boyun", "颈 頸 목 шея шеи"),
    "body": (
        "chest thora* lung* lunge abdom* pelvi* becken* spine wirbel* hws bws lws rachis columna "
        "colonna coluna cervical lumbar* knee knie shoulder schulter* wrist ankle foot hip cardia* "
        "heart herz coronary liver leber kidney colon sinus* nnh dental facial orbit* temporal* "
        "felsenbein* rocher* mandib* maxill* torax torace poumon* pulmon* klatk* brzuch* wervel*",
        "胸 肺 腹 骨盆 脊柱 腰 膝 грудь живот 흉부 복부",
    ),
    "mip": ("mip* vr vrt 3d ssd surface curved cpr movie cine rotat* volume render*", ""),
    "reformat": (
        "cor coronal* koronal* frontal* sag sagit* saggit* mpr",
        "冠状 矢状 冠狀 矢狀 관상 시상 коронал сагит",
    ),
    "scout": (
        "scout* localizer localiser topo* surview scano* scanogram* radiogram* pilot topogram*",
        "定位 スカウト",
    ),
    "report": (
        "dose dosis report bolus summary screen* save capture smartprep monitoring premonitoring "
        "tracker tracking results rapid aspects",
        "剂量 劑量 線量",
    ),
    "drawn": ("seg dseg segmentation mask msk label labels lesion roi", ""),
}
"""By what they mean: whole words, a star for any ending, and parts of scripts without blanks."""

_MEDIUM: Final = (
    r"(?:(?:iv|i v|intravenous|civ|any) )?(?:contrast\w*|kontras\w*|km|mdc|pdc|"
    r"inject\w*|inj|civ|iv|ce|enhanced|enhancement|ipc|контраст\w*)"
)
_WITHOUT: Final = re.compile(
    r"\b(?:without|wo|no|non|not|pre|before|ohne|vor|sans|sin|senza|sem|zonder|bez|uden|utan|без) "
    + _MEDIUM
    + r"\b|\b(?:without|ohne|sans|senza|zonder|bez)$|造影なし|非造影|非增强|未增强|비조영"
)
_AFTER: Final = re.compile(rf"\b(?:post|after|with|nach|mit|avec|con|com|met|po|z|с) {_MEDIUM}\b")
_INJECTION: Final = re.compile(r"\b\d+(?:\.\d+)? ?(?:cc|ml) ?(?:per |p )?s(?:ec)?\b")
"""The rate at which contrast medium flows, such as "4cc sec 150cc": an angiography."""
_LETTERS: Final = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae"})
_SPELT: Final = (
    (r"([a-z])([A-Z])", r"\1 \2"),
    (r"([A-Z]+)([A-Z][a-z])", r"\1 \2"),
    (r"(?i)\bw ?/ ?o\b", " without "),
    (r"(?i)\bw ?/", " with "),
    (r"(?i)\bs ?/ ?(?=c\b|contr|iv)", " sin "),
    (r"(?i)\bc ?/ ?(?=c\b|contr|iv)", " con "),
    (r"(?i)(?:\bc ?\+(?!\w)|\biv ?\+|\+ ?c\b)", " contrast "),
    (r"(?i)\bc ?-(?!\w)", " plain "),
    (r"(?i)\bnon[ -](?=c(?:e|ontr)|enh)", " non "),
)


def words_in(text: str) -> frozenset[str]:
    """Return which of :data:`WORDS` a description holds.

    Args:
        text: Of a series, a protocol, a body part; in any language.

    Examples:
        >>> sorted(words_in("CT PRE CONTRAST PLAIN THIN"))
        ['plain']
        >>> sorted(words_in("4cc sec 150cc"))
        ['angio']
        >>> sorted(words_in("Schädel ohne KM"))
        ['head', 'plain']
    """
    words = _plain(text)
    found = {"angio"} if _INJECTION.search(words) else set()
    if _WITHOUT.search(words):
        found.add("plain")
    words = _WITHOUT.sub(" ", words)
    if _AFTER.search(words):
        found.add("contrast")
    found |= {name for name, pattern in _PATTERNS.items() if pattern.search(words)}
    return frozenset(found)


def _plain(text: str) -> str:
    """Return a text in small letters without accents, with blanks for signs between words."""
    for pattern, instead in _SPELT:
        text = re.sub(pattern, instead, text)
    parts = unicodedata.normalize("NFKD", text.translate(_LETTERS)).casefold()
    letters = "".join(c for c in parts if not "\u0300" <= c <= "\u036f")
    return " ".join(re.sub(r"[^\w.]+|_+", " ", unicodedata.normalize("NFC", letters)).split())


def _pattern(latin: str, others: str) -> re.Pattern[str]:
    stems = [re.escape(_plain(word.rstrip("*"))) + r"[a-z]*" * word.endswith("*")
             for word in latin.split()]  # fmt: skip
    parts = [re.escape(_plain(word)) for word in others.split()]
    whole = rf"(?<![a-z])(?:{'|'.join(stems)})(?![a-z0-9])"
    return re.compile("|".join([whole, *parts]))


_PATTERNS: Final = {name: _pattern(*words) for name, words in WORDS.items()}
