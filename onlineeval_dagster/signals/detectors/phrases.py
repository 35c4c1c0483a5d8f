"""The phrases detectors look for, by language, as RE2 patterns over lower-cased text with plain apostrophes."""

_SERVE = (
    r"(?:help|assist|answer|provide|give|tell|share|create|generate|write|produce|compose|draw|design|make|do|perform|"
    r"fulfil|fulfill|comply|complete|carry|access|browse|search|see|view|open|read|find|identify|determine|predict|"
    r"describe|explain|classify|rate|compare|evaluate|recommend|offer|suggest|support|process|respond|comment|discuss|"
    r"edit|translate|summarize|analyze|list|choose|select|show|say|confirm|verify)"
)

# An AI that says it is one and then helps is no refusal, so "as an AI language model" alone is not here.
REFUSALS: dict[str, tuple[str, ...]] = {
    "en": (
        r"\b(?:i|we)(?: am|'m| are|'re)? (?:\w+ )?"
        r"(?:cannot|can't|can not|couldn't|could not|won't|will not|unable to|not able to|not capable of) "
        rf"(?:\w+ ){{0,2}}{_SERVE}",
        rf"\b(?:and|so|but) (?:cannot|can't|am unable to|am not able to) (?:\w+ )?{_SERVE}",
        r"\b(?:sorry|unfortunately|apologi[sz]e|as an ai)[^.!?]{0,40}\bi "
        r"(?:cannot|can't|am unable to|am not able to|do not have|don't have)\b",
        r"\b(?:i|we|and)(?: \w+)? (?:do not|don't) (?:\w+ )?have "
        r"(?:any |enough |sufficient |direct |real-time |personal |access|information|knowledge|the (?:abil|capabil))",
        r"\bi(?: am|'m| must| have to) (?:\w+ )?(?:decline|not programmed|not designed|not allowed|not permitted)",
        r"\b(?:outside|beyond|out) (?:of )?(?:what (?:i|we) can|my (?:scope|capabilit|abilit|knowledge|expertise))",
        r"\bi (?:really )?(?:don't|do not) know\b",
        r"\bgoes against (?:my|our|openai)",
    ),
    "de": (
        r"\bich (?:kann|darf)\b[^.!?]{0,80}\b(?:nicht|keine|keinen)\b",
        r"\b(?:kann|darf) ich\b[^.!?]{0,80}\b(?:nicht|keine|keinen)\b",
        r"\b(?:habe ich|haben wir|ich habe)\b[^.!?]{0,30}\bkeine (?:\w+ )?(?:information|angabe|auskunft|daten)",
        r"\b(?:ich weiß|weiß ich) (?:es |das )?(?:leider )?nicht\b",
    ),
    "es": (
        r"\bno (?:puedo|podemos|me es posible|soy capaz)\b",
        r"\bno (?:tengo|tenemos|dispongo de) (?:\w+ )?(?:información|acceso|datos)",
    ),
    "fr": (
        r"\bje ne (?:peux|puis|suis) pas\b",
        r"\bje n'ai (?:pas|aucune) (?:\w+ ){0,2}(?:information|accès|réponse)",
    ),
    "it": (r"\bnon (?:posso|sono in grado|ho (?:informazioni|accesso))\b",),
    "pt": (r"\bnão (?:posso|consigo|tenho (?:informações|acesso))\b",),
}
"""What an answer says that declines. Looked for in its opening only."""

COMPLIANCE: dict[str, tuple[str, ...]] = {
    "en": (
        r"\bhere(?: is|'s| are)\b",
        r"\bbut,? (?:i can |i could |we can |based |according |as of |generally|in general)",
        r"\b(?:however|nevertheless)\b",
        r"\b(?:according to|for example|examples? (?:of|is|are))\b",
        r"\b(?:can't|cannot|couldn't|could not) (?:help but|wait|say enough)\b",
    ),
    "de": (r"\bhier (?:ist|sind)\b", r"\b(?:aber|jedoch) (?:ich kann|kann ich)\b", r"\bzum beispiel\b"),
    "es": (r"\baquí (?:está|tiene|hay)\b", r"\b(?:pero|sin embargo),? puedo\b", r"\bpor ejemplo\b"),
    "fr": (r"\bvoici\b", r"\b(?:mais|cependant),? je peux\b", r"\bpar exemple\b"),
}
"""What an answer says that declines one thing and then delivers something."""

REDIRECT = (
    r"\bhowever,? (?:you|there (?:is|are)|please|it(?: is|'s)|we recommend"
    r"|i (?:recommend|suggest|would|am|cannot|do not))\b"
)
"""A "however" that sends the user elsewhere delivers nothing."""

DANGLING = (
    r"[,;(\[{–—]$",
    r"\b(?:the|a|an|and|or|of|to|with|for|at|by|is|are|your|our|if|because|which)$",
    r"\b(?:der|die|das|den|dem|ein|eine|einen|und|oder|mit|von|für|zu|ist|sind|ihr|ihre|wenn|weil)$",
    r"\b(?:el|la|los|las|un|una|y|o|de|del|con|para|por|en|es|son|su|sus|que)$",
    r"\b(?:le|les|une|et|ou|des|du|avec|pour|dans|est|sont|votre|notre|qui)$",
)
"""Endings after which a sentence must go on."""

ENDED = r"""(?:[.!?…。！？؟।:)\]}>"'”’»*_`~]|\p{So}|#\w+|https?://\S+|\S+@\S+)$"""
"""Endings with which prose may stop: punctuation, closing marks, an emoji, an address."""

PROSE = r"^\s*[^\s\-*•#|>\d](?:\S*\s+){7,}\S+$"
"""A line of eight words or more that is no list item, heading, quotation or table row."""

VERSE = r"[^.!?:;\s][ \t]*\n[^\n]+$"
"""A last line right below one that has no end either: a poem, a list, an address."""


# RE2's \b and \w know ASCII only: no \b stands beside another letter.
UNSURE: dict[str, tuple[str, ...]] = {
    "en": (
        r"\b(?:i am|i'm|we are|we're) (?:\w+ )?not (?:\w+ )?(?:sure|certain|confident|positive)\b",
        r"\b(?:i|we) (?:cannot|can't|could not|couldn't|am unable to) (?:\w+ )?(?:be sure|be certain|verify|confirm)\b",
        r"\bi (?:could|may|might) be (?:wrong|mistaken)\b",
        r"\b(?:as far as i (?:know|am aware|can tell)|to (?:the best of )?my knowledge)\b",
        r"\bif i (?:remember|recall) correctly\b|\bmy (?:best )?guess\b|\bi(?: am|'m) (?:just |only )?guessing\b",
        r"\b(?:do not|don't) quote me\b|\bwith a grain of salt\b",
        r"\bi (?:do not|don't) know (?:for (?:sure|certain)|exactly|whether|if)\b",
    ),
    "de": (
        r"\b(?:ich bin|bin ich|wir sind|sind wir) (?:mir |uns )?(?:\pL+ ){0,2}(?:nicht (?:\pL+ )?|un)sicher\b",
        r"\b(?:soweit|soviel|so weit|so viel) ich weiß|\bmeines wissens\b|\bwenn ich mich (?:recht|richtig) erinnere\b",
        r"\bich (?:kann|könnte) mich (?:auch )?irren\b|\bohne gewähr\b|\bich (?:rate|schätze) (?:nur|mal)\b",
        r"\bich weiß (?:\pL+ )?nicht (?:genau|ob|sicher)\b",
    ),
    "es": (
        r"\bno (?:estoy|estamos) (?:\pL+ )?(?:segur[oa]s?|ciert[oa]s?)\b",
        r"\bhasta donde (?:yo )?sé|\b(?:que yo sepa|si (?:no )?recuerdo (?:bien|mal)|si no me equivoco)\b",
        r"\b(?:podría|puedo) (?:estar equivocad[oa]|equivocarme)\b|\bno sé (?:con certeza|exactamente|si)\b",
    ),
    "fr": (
        r"\bje ne suis pas (?:\pL+ )?(?:sûre?|certaine?)\b",
        r"à ma connaissance\b|\b(?:autant que je sache|si je me souviens bien|sauf erreur)\b",
        r"\bje (?:peux|pourrais) me tromper\b|\bje ne sais pas (?:exactement|si)\b",
    ),
    "it": (
        r"\bnon (?:sono|siamo) (?:\pL+ )?(?:sicur[oaie]|cert[oaie])\b",
        r"\b(?:per quanto ne so|a quanto ne so|per quel che so|se ricordo bene|se non (?:sbaglio|erro))\b",
        r"\bpotrei sbagliar(?:e|mi)\b|\bnon so (?:con certezza|esattamente|se)\b",
    ),
    "pt": (
        r"\bnão (?:tenho|temos) (?:\pL+ )?certeza\b|\bnão estou (?:\pL+ )?(?:cert[oa]|segur[oa])\b",
        r"\b(?:até onde (?:eu )?sei|que eu saiba|se (?:bem )?me lembro(?: bem)?|se não me engano)\b",
        r"\bposso estar (?:enganad[oa]|errad[oa])\b|\bnão sei (?:ao certo|exatamente|se)\b",
    ),
}
"""What an answer says that doubts itself."""

POLITE = (
    r"\bnot sure (?:(?:that |if )?i\b|why\b|where\b|how you\b)|\b(?:if you(?: are|'re)|when i(?: am|'m)) not sure\b"
)
"""Disagreement and advice in the words of doubt."""

HEDGES: dict[str, tuple[str, ...]] = {
    "en": (
        r"\bi (?:think|believe|suppose|assume|guess)\b",
        r"\b(?:perhaps|maybe|probably|presumably|possibly)\b",
        r"\bit(?: is|'s) (?:\w+ )?(?:possible|likely|unclear|hard to say) (?:that|if|whether|what)\b",
        r"\bit (?:seems|appears)\b",
    ),
    "de": (
        r"\b(?:ich (?:glaube|denke|vermute|nehme an)|glaube ich|denke ich|vermute ich)\b",
        r"\b(?:vielleicht|vermutlich|wahrscheinlich|womöglich|möglicherweise|eventuell)\b",
        r"\bes (?:kann|könnte) sein\b|\bes scheint\b",
    ),
    "es": (
        r"\b(?:creo|pienso|supongo|imagino) que\b",
        r"\bquizá|\b(?:tal vez|a lo mejor|probablemente|posiblemente|es posible que|parece que)\b",
    ),
    "fr": (
        r"\bje (?:crois|pense|suppose) que?\b",
        r"\b(?:peut-être|probablement|sans doute|possiblement|il (?:est possible|se peut|semble) que?)\b",
    ),
    "it": (
        r"\b(?:credo|penso|suppongo|immagino) (?:che|di)\b",
        r"\b(?:forse|magari|probabilmente|possibilmente|sembra che)\b|è possibile che\b",
    ),
    "pt": (
        r"\b(?:acho|creio|penso|suponho|acredito) que\b",
        r"\b(?:talvez|provavelmente|possivelmente|parece que)\b|é possível que\b",
    ),
}
"""What an answer says that hedges: a manner of speaking as often as a doubt."""


def any_of(patterns: tuple[str, ...]) -> str:
    """One pattern that matches where any of these does."""
    return "(?:" + "|".join(patterns) + ")"


def every_language(by_language: dict[str, tuple[str, ...]]) -> str:
    """One pattern for all languages: answers are often in another language than their row says."""
    return any_of(tuple(pattern for patterns in by_language.values() for pattern in patterns))
