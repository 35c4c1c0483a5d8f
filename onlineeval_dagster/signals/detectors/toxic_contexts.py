"""What only its company makes toxic: a group and what is said of it, "you" and an insult, a threat and whom it is for.

Written and read as toxic_words.WORDS. Groups of people count only together with what is said of them: to be spoken
of is no harm (Dixon et al. 2018, "Measuring and mitigating unintended bias in text classification").
"""


def _one_of(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


_GROUP = _one_of(r"""
    jews the_jew muslims moslems arabs blacks negroes africans whites asians the_chinese african.americans mexicans
    (?:black|white|jewish|muslim|gay|trans|brown|chinese|disabled|fat|old|poor|asian|homeless)_(?:people|men|women|folks)
    japanese_people hispanics latinos latinas immigrants migrants refugees foreigners indians pakistanis gyps(?:y|ies)
    gays lesbians homosexuals queers trans(?:genders?|sexuals) women females girls cripples autistics christians
    catholics hindus israelis palestinians russians ukrainians juden auslander fluchtlinge turken muslime judios moros
    los_negros inmigrantes juifs arabes musulmans les_noirs immigres
""")

_MEMBER = _one_of(r"""
    jew muslim moslem arab immigrant migrant refugee foreigner gay lesbian homosexual(?:ity)? queer trans
    transgender transsexual zionists? islam judaism jewish jewry
    (?:black|white|asian|indian|brown)_(?:guy|man|woman|girl|boy|person|race|kid|child|dude) blacks? feminists?
    feminism
""")

_VILE = _one_of(r"""
    inferior vermin animals apes monkeys savages scum filth(?:y)? dirty parasites rats cockroaches pigs dogs criminals
    thieves rapists smelly uglier dumber terrorists evil disgusting diseased? sub.?humans? stupid dumb idiots lazy
    greedy worthless useless garbage trash cancer plague sick perverts perverted pedophiles groomers abominations?
    liars whores sluts bitches property ugly retarded barbarians barbaric uncivilized violent vile repulsive gross
    mentally_ill less_intelligent dangerous danger menace burden curse blight less_than_human not_human
    not_(?:really_)?people worst primitive backward unnatural sinful deviants? predators thugs leeches sneaky vicious
    corrupt delusional hysterical disease illness threat disgrace enemy enemies devils demons infesting taking_over
    stealing ruining destroying invading to_blame minderwertig dreck abschaum untermenschen basura inferiores escoria
    inferieurs racaille vermine
""")

_ILL = _one_of(r"""
    hate[ds]? kill\w* inferior superior disgust\w* stupid\w* dumb crim(?:es?|inals?) rap(?:e[ds]?|ing|ists?) steal\w*
    violen(?:t|ce) terror\w* destroy\w* threat invad\w+ invasion dirty filth\w* lazy unnatural sin(?:s|ful)?
    deviant\w* conspir\w+ breed(?:ing)? blam\w+ ruin\w* ugly savages? slaves? slavery nazis? hitler genocide
    exterminat\w+ evil satan\w* greed\w* lies liars? parasit\w+ scum apes monkeys low_iq iq worthless perver\w+
    pedophil\w+ groom\w* mentally_ill plague degenera\w+ traitors? get_out go_back deport\w* ban(?:ned)? whores?
    sluts? bitch\w* fuck\w* shit\w* idiots? kitchen obey submit property gold.?diggers? ghetto welfare thugs?
    cockroach\w* rats vermin pigs murder\w* bomb\w* control_(?:the|our|all) take.?over taking_over
""")

_NAMED = _one_of(r"""
    idiots? morons? imbeciles? dumb(?:ass\w*|fuck\w*|o) jackass ass(?:hole|hat|wipe|clown)s? dick(?:head)?s? douche\w*
    bastards? scum(?:bag)?s? losers? retards? twats? wankers? pricks? bitch(?:es)? cunts? sluts? whores? skanks?
    fat(?:ass|so) cowards? incels? cucks? puss(?:y|ies) lowlifes? degenerates? perverts? filth vermin turds?
    mother.?fuck\w* fuck(?:er|face|wit|tard|ing)?s? fag(?:got)?s? nigg\w+ piece_of_\w+ sack_of_\w+ waste_of_\w+ pigs?
""")

_CALLED = _one_of(r"""
    pathetic worthless retarded ugly cow trash garbage stupid dumb dumber creeps? freaks? clowns? fools? useless
    disgusting disgrace parasites? liars? jerk brain.?dead nobody monster crybaby hypocrite joke ass fat
""")

_VERY = _one_of(r"""
    a an the so such really just all little complete total absolute utter damn goddamn dirty filthy ugly fat old sick
    lazy most nothing but fucking? f\S*ing bloody stupid dumb pathetic worthless disgusting miserable and always
    literally big huge biggest ignorant spineless cheap crazy
""")

_CHILD = _one_of(r"""
    child(?:ren)? kids? minors under.?age pre.?teens? teen(?:age)?s? school.?girls? school.?boys?
    little_(?:girl|boy)s? (?:[4-9]|1[0-7]).years?.old toddlers? lolis? kinder ninas? petites?_filles?
""")

_EXPLICIT = _one_of(r"""
    sexually naked nudes? horny cocks? dick penis pussy porn\w* orgasm\w* masturbat\w+ fuck\w* rap(?:ed?|ing)
    erotic\w* nipples moan(?:ed|ing)? seduc\w+ molest\w+ undress\w* slut
""")

_MAIM = "(?:kill|murder|stab|strangle|behead|rape|slaughter|torture|lynch|castrate|gut|choke)(?:ing)?"
_I_WILL = "(?:i|we)(?:'ll|'m|'d|_will|_am|_want|_wanna|_would|_could|_should|_must|_gonna|_going|_might|_have)?"
_ANYONE = f"(?:{_GROUP}|{_MEMBER})"
_BAD = f"(?:{_NAMED}|{_CALLED})"
_1, _2, _3 = (rf"(?:_[\w']+){{0,{count}}}_" for count in (1, 2, 3))  # so many words in between, at most
_NEAR = r"\b[^.!?]{0,60}\b"  # in the same sentence

CONTEXTS: dict[str, dict[float, tuple[str, ...]]] = {
    "minors": {2.0: (f"{_CHILD}{_NEAR}{_EXPLICIT}", f"{_EXPLICIT}{_NEAR}{_CHILD}")},
    "hate": {
        1.2: (
            f"{_GROUP}{_3}(?:are|be|being|sind|son|sont|act_like|behave_like|smell_like){_3}{_VILE}",
            f"{_GROUP}{_3}(?:should|must|deserve|need|ought){_3}(?:die|killed|exterminated|gassed|hanged|shot|slaves?|"
            "enslaved|lynched|sterilized|obey|eradicated|executed|raped)",
            f"(?:i|we|everyone|ich|yo|je){_2}(?:hates?|despise|loathe|can't_stand|hasse|odio|deteste){_2}{_GROUP}",
            f"(?:filthy|stupid|lazy|evil|fucking|goddamn|disgusting|damn|scummy|vile){_1}{_GROUP}",
        ),
        0.8: (
            f"(?:kill|exterminate|gas|eliminate|eradicate|hang|lynch|hate|fuck|wipe_out)(?:ing)?{_2}{_GROUP}",
            f"(?:don't|can't|never)_trust{_1}{_GROUP}",
        ),
        0.4: (f"{_ANYONE}{_NEAR}{_ILL}", f"{_ILL}{_NEAR}{_ANYONE}", "(?:these|those|you)_people"),
        0.25: (
            rf"{_GROUP}{_2}(?:can't|cannot|don't|shouldn't|should_not|never|only|always|all|just|should|want)_\w+",
            f"(?:all|these|those|you|most|deport|ban|dirty|blame){_1}{_GROUP}",
        ),
    },
    "harassment": {
        1.1: (
            f"(?:you|u|ya)(?:_{_VERY}){{0,4}}_{_NAMED}",
            f"(?:you_are|you're|youre|ur|u_r|you_were)(?:_{_VERY}){{0,5}}_{_BAD}",
        ),
        0.5: (f"(?:he|she|they|this_(?:guy|man|woman)|what|such|who)(?:_is|_are|'s|'re)?(?:_{_VERY}){{1,4}}_{_BAD}",),
    },
    "violence": {
        1.4: (f"{_I_WILL}{_3}{_MAIM}_(?:him|her|you|u|everyone|everybody|your_family)",),
        0.6: (
            f"{_I_WILL}{_3}{_MAIM}_(?:them|all|those|every)",
            f"{_MAIM}{_2}(?:family|wife|kids|children|cops|police|politicians|people|teacher|everyone)",
        ),
    },
}
"""Kind of harm -> evidence of one mention -> patterns of several words."""
