"""Words that say nothing by themselves, and numbers as words, by language: data of the detectors that compare texts.

All languages count at once, so words that say something in another one are not here ("war", "son").
"""

FUNCTION_WORDS: dict[str, str] = {
    "en": (
        "a an the and or but if of in on at by for from to with without into onto over under as than then so too very "
        "is are was were be been being am do does did done has have had having can could will would shall should may "
        "might must not no yes nor i you he she it we they me him her us them my your his its our their mine yours "
        "this that these those there here who whom whose which what when where why how all any some each more most "
        "other another such same own only just also both about after before between during through again up down out "
        "off i'm i've i'll i'd you're you've you'll it's that's there's we're we've we'll they're they've don't "
        "doesn't didn't isn't aren't wasn't weren't can't couldn't won't wouldn't shouldn't haven't hasn't let's "
        "what's who's how's please one ones"
    ),
    "de": (
        "der die das den dem des ein eine einen einem einer eines und oder aber wenn weil dass daß als wie so zu zum "
        "zur in im an am auf aus bei mit nach von vom vor für über unter um durch ohne gegen bis ist sind waren "
        "sein wird werden wurde wurden haben hatte hatten kann können könnte muss müssen soll sollen darf dürfen "
        "nicht kein keine keinen ja nein ich du er sie es wir ihr mich mir dich dir ihn ihm uns euch ihnen mein meine "
        "dein deine seine ihre ihren unser unsere dieser diese dieses diesem diesen dort hier auch nur noch schon sehr "
        "wer was wann wo warum wieso welche welcher welches alle alles sich bitte"
    ),
    "es": (
        "el la los las un una unos unas lo y e o u pero si que de del a al en con por para como más muy es era "
        "eran fue fueron ser está están estar ha han haber hay tiene tienen puede pueden no sí yo tú él ella nosotros "
        "ellos ellas usted ustedes me te se le les nos mi tu su sus este esta estos estas ese esa eso esto qué quién "
        "cuándo cuánto cuántos dónde cómo cuál porque también solo ya todo todos otra otro entre sobre hasta desde "
        "demás"
    ),
    "fr": (
        "le la les un une des du de au aux et ou mais si que qui quoi dont où en dans sur sous avec sans par comme "
        "plus très est sont était étaient être été a ont avoir avait peut peuvent ne pas non oui je tu il elle on nous "
        "vous ils elles me te se lui leur leurs mon ma mes ton ta tes sa ses notre votre nos vos ce cet cette ces "
        "cela ça ici quel quelle quand pourquoi combien aussi tout tous toute entre jusqu c'est n'est "
        "qu'il"
    ),
    "it": (
        "il lo la i gli le un uno una e ed o ma se che chi di del della dei delle dello a al alla ai alle in nel nella "
        "nei con su sul sulla per da dal dalla come più molto è sono era erano essere stato ha hanno avere può possono "
        "non no sì io tu lui lei noi voi loro mi ti si ci vi mio mia tuo sua suo questo questa questi quello quella "
        "qui dove quando quanto quanti perché quale anche solo già tutto tutti altra altro tra fra"
    ),
    "pt": (
        "o a os as um uma uns umas e ou mas se que quem de do da dos das em no na nos nas ao à aos por pelo pela para "
        "com sem como mais muito é são era eram foi ser está estão estar tem têm ter pode podem não sim eu tu ele ela "
        "nós vós eles elas você vocês me te lhe meu minha seu sua seus suas este esta esse essa isso isto aqui onde "
        "quando quanto quantos qual quais porque também só já tudo todos outra outro entre sobre até desde"
    ),
}

NUMBER_WORDS: dict[str, str] = {
    word: str(value)
    for value, words in {
        2: "two zwei dos deux due dois",
        3: "three drei tres trois tre três",
        4: "four vier cuatro quatre quattro quatro",
        5: "five fünf cinco cinq cinque",
        6: "six sechs seis sei",
        7: "seven sieben siete sept sette sete",
        8: "eight acht ocho huit otto oito",
        9: "nine neun nueve neuf nove",
        10: "ten zehn diez dix dieci dez",
        11: "eleven elf once onze undici",
        12: "twelve zwölf doce douze dodici doze",
    }.items()
    for word in words.split()
}
"""Ambiguous ones ("once", "sei") do no harm: they come down to one term in both texts."""
