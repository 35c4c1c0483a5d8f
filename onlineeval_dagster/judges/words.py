"""The words the embedded judge knows: stop words, generic words, refusals, and when two words are one."""

import re
from functools import lru_cache


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _set(text: str) -> frozenset[str]:
    return frozenset(_list(text))


STOP = _set("""
    a about above after again all also am an and any anyone anything are aren't as at back be because been
    before being below between both but by came can can't cannot come could couldn't did didn't do does doesn't
    doing don't done down during each either else enough etc even ever every everyone everything few for from
    further get gets getting give given go goes going got had hadn't happen happens has hasn't have haven't
    having he hello help her here hers him his how however i i'd i'll i'm i've if in into is isn't it it's its
    itself just keep know let let's like look made make many may maybe me mean might mine more most much must my
    need needs no nor not now of off ok okay on once one only or other our ours out over own please put really
    right said same say see seem shall she should shouldn't so some someone something still such sure take tell
    than thank thanks that that's the their theirs them then there there's these they they're thing things think
    this those though through to too try under until up upon us use used using very want was wasn't way we we're
    well were weren't what what's when where where's whether which while who who's whom whose why will with
    without won't would wouldn't yes yet you you'd you'll you're your yours yourself

    aber ab als am an auch auf aus bei bin bis bitte da das dass dem den der des die diese dieser doch du ein
    eine einem einen einer er es für gern gibt habe haben hat hier ich ihm ihnen ihr ihre ihren im in ist ja
    kann kein keine können man mehr mein meine mich mir mit möchte muss nach nicht noch nur oder sein sich sie
    sind so tun über um und uns unser von vor wann war warum was wenn werden wie wir wird wo zu zum zur

    al algo como con cuál cuándo cuánto cuántos cómo de del desde después donde dónde e el ella en es esta este
    esto está ha hay hola la las le les lo los me mi mis muy más no nos o para pero por porque puede puedo que
    qué se ser si sin sobre son su sus sí también tengo tiene todo tu un una uno usted y ya
""")
"""Words without a subject, in English, German and Spanish."""

GENERIC = _set("""
    best better compare construct create describe design different edit exactly explain find following generate
    given good identify input list long name new output paragraph possible problem provide question quickly
    rewrite sentence set show suggest summarize text work write
""")
"""Words that many questions share; they count a third."""

DANGLING = _set("""
    a an and as at because but by for from if in into is of on or our that the their then this to when which while will
    with you your
""")
"""Words after which no sentence ends."""

REFUSAL = re.compile(
    "|".join(
        (
            r"\b(i|we)('m| am|'re| are) (not able|unable|afraid i (can't|cannot))\b",
            r"\b(i|we) (can't|cannot|can not|won't) "
            r"(help|assist|answer|do that|provide|discuss|share|comply|fulfil|support|give|access)\b",
            r"\b(sorry|apologi[sz]e|unfortunately)\b[^.!?\n]{0,40}"
            r"\b(can't|cannot|can not|unable|not able|won't|don't have)\b",
            r"\bas an ai\b[^.!?\n]{0,60}\b(can't|cannot|can not|unable|not able|don't|do not)\b",
            r"\bi don't (know|have (access|(any |that |this )?information))\b",
            r"\b(outside( of)?|beyond) what (i|we) can (do|answer|help)\b",
            r"\bkann ich (ihnen |dir )?(leider )?(dabei |dazu |damit )?(nicht|keine)\b",
            r"\bhabe ich (dazu |leider )*keine informationen\b",
            r"\bno puedo (ayudar|responder|contestar)|\bno tengo (información|acceso)\b|\blo siento, pero no\b",
        )
    )
)
"""An answer that declines, in lower case."""

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.,]\d+)*")

_ENDINGS = _list("ies ations ation ingly ing edly ed ments ment ions ion ers er ly es s")


def stems(text: str) -> list[str]:
    """The stems of a text's content words, in order."""
    return [stem(word) for word in content(text)]


def content(text: str) -> list[str]:
    """A text's words that have a subject, in lower case."""
    return [word for word in WORD.findall(text.lower()) if word not in STOP and (len(word) > 1 or word.isdigit())]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A rough stem: resets, resetting and reset are one word. Rough on purpose: it only has to agree with itself."""
    word = word.removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word
