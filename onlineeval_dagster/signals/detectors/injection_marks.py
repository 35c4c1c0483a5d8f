"""What texts say that are written to command a model, by kind: RE2 patterns over plain text, a blank is any space.

Kinds after Greshake et al. 2023 ("Not what you've signed up for": orders in retrieved text, exfiltration by links),
Perez & Ribeiro 2022 ("Ignore previous prompt": override, prompt leaking) and Zheng et al. 2023 (orders to a judge).
"""

_UP_TO_2, _UP_TO_4 = (rf"(?: [\w']+){{0,{count}}}" for count in (2, 4))
_RULES = (
    "(?:instructions?|directions|directives?|prompts?|rules|guidelines|guardrails|constraints|programming|training)"
)
_EARLIER = "(?:previous|prior|preceding|above|earlier|foregoing|original|initial|former|system|your|safety|past)"
_IGNORE = (
    r"\b(?:ignore|disregard|forget|override|overrule|bypass|discard|do not (?:follow|obey)|don't (?:follow|obey)|"
    "stop (?:following|obeying))"
)
_HIDDEN_PROMPT = (
    "(?:system (?:prompt|message|instructions)|"
    "(?:your|the) (?:initial|hidden|original|secret|exact|full|internal|developer) "
    "(?:prompt|instructions?|message|rules|directions)|your prompt)"
)
_ANSWER = "(?:answer|response|reply|output|submission)"
_LIMITS = (
    r"(?:restrictions|filters|censorship|guidelines|content polic(?:y|ies)|ethics|moral\w*|ethical \w+|"
    "safety (?:guidelines|filters|rules))"
)

MARKS: dict[str, tuple[str, ...]] = {
    "overrides instructions": (
        rf"{_IGNORE}{_UP_TO_2} {_EARLIER}{_UP_TO_2} {_RULES}\b",
        rf"{_IGNORE}{_UP_TO_4} {_RULES} "
        r"(?:above|before|you (?:were|have been|got|received)|given (?:to you|above|before))\b",
        rf"{_IGNORE} (?:everything|anything|all|what){_UP_TO_4} (?:above|before|previously|told|so far|this point)\b",
        r"\bnew (?:system )?(?:instructions?|system prompt)\s*:",
        r"\b(?:ignorier|vergiss|vergesst|vergessen sie|missacht)\w*(?: \w+){0,3} "
        r"(?:bisherig|vorherig|vorig|obig|früher|dein|ihr)\w*(?: \w+)? (?:anweisung|instruktion|vorgabe|regel|befehl)",
        r"\b(?:ignor[ae]|olvid[ae]|omite)(?: \w+){0,3} (?:instrucciones|indicaciones|órdenes|reglas)(?: \w+){0,2} "
        r"(?:anteriores|previas|originales|iniciales)\b",
        r"\b(?:ignore[rz]?|oublie[rz]?)(?: \w+){0,3} (?:instructions|consignes|règles|ordres)(?: \w+){0,2} "
        r"(?:précédente?s|antérieure?s|ci-dessus|initiales)\b",
        r"\b(?:ignora|dimentica)(?: \w+){0,3} (?:istruzioni|regole|indicazioni)(?: \w+){0,2} (?:precedenti|iniziali)\b",
        r"\b(?:ignore|ignora|esqueça|desconsidere)(?: \w+){0,3} (?:instruções|regras|ordens)(?: \w+){0,2} "
        r"(?:anteriores|prévias|acima|iniciais)\b",
        r"(?:игнорируй|забудь|не обращай внимания на)(?:те)?(?: \pL+){0,3} (?:инструкции|указания|правила|команды)",
        r"(?:忽略|无视|無視|忘记|忘記|不要理会)[^。！？]{0,10}(?:之前|以前|以上|前面|上面|先前)[^。！？]{0,6}"
        r"(?:指令|指示|提示|说明|规则|規則)",
        r"(?:以前|これまで|上記|前)の(?:すべての|全ての)?(?:指示|命令|プロンプト)を(?:すべて|全て)?(?:無視|忘れ)",
        r"(?:이전|위)(?:의)?\s*(?:모든\s*)?(?:지시|명령|지침)(?:\s*사항)?(?:을|를)?\s*(?:모두\s*)?(?:무시|잊)",
    ),
    "changes the model's role": (
        r"\bdo anything now\b",
        r"\b(?:dan|jailbreak|god|developer) mode (?:enabled|activated|output)\b",
        r"\b(?:enter|enable|activate|switch (?:in)?to|you are (?:now )?in) "
        r"(?:dan|jailbreak|god|developer|unrestricted) mode\b",
        r"\byou are (?:now|no longer) (?:an? |the )?(?:dan|jailbroken|unrestricted|unfiltered|uncensored|bound by|evil|"
        r"chatgpt|(?:ai|assistant|model|chatbot)\b)",
        rf"\b(?:act|behave|respond|answer|pretend|role.?play) (?:as|like|to be){_UP_TO_4} "
        r"(?:unfiltered|unrestricted|uncensored|unethical|amoral|jailbroken|dan)\b",
        rf"\b(?:ai|model|assistant|chatbot|gpt){_UP_TO_4} (?:without|with no|has no|free of|free from|not bound by)"
        rf"{_UP_TO_2} {_LIMITS}\b",
        rf"\byou are{_UP_TO_4} (?:without|with no|not bound by){_UP_TO_2} {_LIMITS}\b",
        rf"\bpretend (?:that )?(?:you|there){_UP_TO_4} (?:no|not|without){_UP_TO_2} (?:rules|{_LIMITS})\b",
        r"\bdu bist (?:jetzt|nun|ab sofort) (?:dan|(?:eine? )?(?:uneingeschränkt|ungefiltert)\w*)\b",
        r"\b(?:ahora eres|tu es (?:maintenant|désormais)) (?:dan|un(?:e|a)? (?:ia|asistente|assistant) (?:sin|sans))\b",
    ),
    "asks for the prompt": (
        rf"\b(?:reveal|show|print|output|display|repeat|recite|leak|expose|disclose|dump|give|tell|share|write|copy|"
        rf"translate|summari[sz]e|what(?:'s| is| are| were| was)){_UP_TO_4} {_HIDDEN_PROMPT}\b",
        rf"\b(?:reveal|print|output|repeat|recite|leak|expose|disclose|dump){_UP_TO_4} your {_RULES}\b",
        r"\b(?:repeat|print|output|copy) (?:everything|all|the (?:text|words|content)s?)(?: \w+){0,2} above\b",
        r"\b(?:zeig|nenn|verrat|gib|wiederhol|wie lautet|was ist)\w*(?: \w+){0,3} "
        r"(?:system.?prompt|system.?anweisung\w*|system.?nachricht)\b",
        r"\b(?:muestra|revela|repite|dime|imprime|cuál es|cuáles son)\w*(?: \w+){0,3} "
        r"(?:prompt|instrucciones) (?:del? sistema|iniciale?s?|ocultas)\b",
        r"\b(?:montre|révèle|affiche|répète|donne|quel est)[\w-]*(?: \w+){0,3} "
        r"(?:prompt|instructions|invite) (?:du )?(?:système|initiales?|cachées)\b",
    ),
    "imitates a role tag": (
        r"<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|eot_id|start_header_id|begin_of_text|channel)\|>",
        r"\[/?inst\]|<</?sys>>|<start_of_turn>|</?(?:system|system[_-]?prompt|developer)>",
        r"(?:^|\n)\s*###\s*(?:system|instruction)\s*:",
        r"(?:^|\n)\W{0,3}system (?:prompt|message|override)\s*:",
        r"\b(?:begin|end|start) (?:of )?(?:the )?system (?:prompt|message)\b",
    ),
    "orders a judge": (
        rf"\b(?:score|rate|grade|mark|judge|rank) (?:this|my|the) {_ANSWER}{_UP_TO_2} "
        r"(?:\d+|perfect|highest|maximum|full|top|best|correct|excellent)\b",
        r"\b(?:score|grade) (?:this|it|me)(?: as| with| at)?(?: an?)? (?:1|3|5|10|100)(?:[.!,;\s/]|$)",
        rf"\b(?:give|assign|award){_UP_TO_2} (?:{_ANSWER}|this|it|me) (?:the|an?|full)(?: absolute)? "
        r"(?:highest|maximum|perfect|full|top|best)(?: possible)? (?:score|rating|grade|marks|verdict)\b",
        rf"\b(?:give|assign) (?:this|my|the) {_ANSWER} an? (?:score|rating|grade) of \d",
        r"\b(?:note|message|attention|instructions?|reminder) (?:to|for) (?:the |all |any )?(?:ai |llm |automated )?"
        r"(?:evaluator|grader|judge|rater|llm|ai|language model)s?\b",
        r"\bas (?:an? |the )(?:\w+ )?(?:judge|evaluator|grader|rater),? you (?:must|should|have to|will)\b",
        r"\b(?:bewerte|benote) (?:diese |die )?(?:antwort )?(?:mit|als) (?:\d|sehr gut|perfekt|der höchst)",
        r"\b(?:puntúa|califica) (?:esta )?respuesta con\b|\b(?:note|notez|attribue[rz]?) (?:à )?cette réponse\b",
    ),
    "asks for secrecy": (
        r"\b(?:do not|don't|never|without)(?: \w+){0,2} (?:tell|inform|mention|alert)(?:ing)?"
        r"(?: \w+){0,4} the user\b",
    ),
    "sends data out": (
        r"\bsend (?:all|the|this|any)(?: \w+){0,3} "
        r"(?:conversation|chat history|credentials|passwords?|user data|api keys?) to\b",
        r"!\[[^\]]*\]\(\s*https?://[^)\s]*[?&/]"
        r"(?:q|query|data|info|text|secret|payload|msg|message|prompt|chat|history|conversation|leak|exfil)=",
        r"<img[^>]+src\s*=\s*[\"']?https?://[^>\s]*[?&]"
        r"(?:q|query|data|info|secret|payload|msg|message|prompt|chat|history|conversation|leak|exfil)=",
    ),
}
"""Looked for in the question, the context and the answer."""

LEAK = (
    r"\b(?:my|the) (?:system|initial|original|hidden|internal) (?:prompt|instructions?|message) "
    r"(?:is|are|was|were|says?|said|reads?|states?|tells?)\b",
    r"\bhere (?:is|are) (?:my|the)(?: \w+){0,2} "
    r"(?:system (?:prompt|message|instructions)|(?:initial|hidden) instructions)\b",
    r"^\W*you are an? (?:\w+ ){0,4}(?:assistant|chatbot|language model)[,.]",
    r"🔓\s*jailbreak",
)
"""An answer that gives its prompt away, or plays the part it was told to."""

HIDDEN = (
    # Tag characters spell invisible ASCII; after a black flag they are England's, Scotland's and Wales's.
    r"(?:^|[^\x{1F3F4}\x{E0020}-\x{E007F}])[\x{E0000}-\x{E007F}]",
    r"[\x{200B}-\x{200F}\x{2060}-\x{2064}\x{FEFF}]{4}",
    r"[\x{FE00}-\x{FE0F}]{3}|[\x{E0100}-\x{E01EF}]{2}",
    r"[\x{202D}\x{202E}]",
)
"""Characters that a person does not see and a model reads; looked for before the text is made plain."""
