"""What toxic texts say, by kind and by how much one mention tells: words chosen from knowledge, fitted to no data.

For texts in lower case, without accents and with plain apostrophes. A blank separates entries and `_` is white space
inside one; entries are RE2 patterns and match whole words. The number is the evidence of one mention in units of
-log(1 - p): 1.0 alone makes p = 0.63, 0.1 alone 0.1.
"""

WORDS: dict[str, dict[float, str]] = {
    "sexual": {
        1.0: r"""
            blow.?jobs? hand.?jobs? cum.?shots? gang.?bang\w* deep.?throat\w* creampies? hentai upskirt hard-ons?
            fuck_(?:me|her|him)_\w+ cum_(?:in|on|inside|all|for)_\w+ titten muschi
            (?:suck|lick|strok|rub)\w*_(?:my|his|her|their|your)_(?:\w+_)?(?:cock|dick|pussy|clit|balls|tits?|nipples?|shaft|member)
        """,
        0.6: r"""
            cum(?:s|ming|med)? cocks? puss(?:y|ies) clit dildos? milfs? boob(?:s|ies) tits titties dominatrix
            threesomes? orgy orgies fondl(?:e|ed|ing) grop(?:ed|ing) masturbat\w+ jerk(?:ed|ing|s)?_off horny porn\w*
            erotica? bdsm camgirls? sext(?:ing|s|ed)? naked_(?:body|girls?|women|woman|boys?|teens?|pics?|pictures?)
            nudes blow_(?:me|him) spread_(?:my|his|her|their|your)_legs dirty_talk make_me_wet turns?_me_on
            anal_sex oral_sex incest sex_slaves? hookers?
            (?:wet|tight|throbbing|dripping|hard)_(?:pussy|cock|cunt|member|hole|shaft|length) onlyfans follar tetas
            verga call_girls? cuckold\w* fisting bbw
            sex_(?:videos?|chat|cams?|dating|part(?:y|ies)|stor(?:y|ies)|doll)s? shemale
            big_(?:ass|tits|cock|dick|boobs|breasts)
            (?:lesbian|gay|teen|milf|hot|free|anal|group|wild|rough)_(?:sex|porn)
            (?:t[ao]k\w*|ripp?\w*|pull\w*|slid\w*)_(?:off|down)_(?:my|his|her|their|your)_(?:clothes|shirt|pants|dress|panties|bra|underwear)
            polla ficken nichons sucer
            (?:my|his|her|their|your)_(?:\w+_)?(?:nipples?|pussy|cock|clit|panties|crotch)
        """,
        0.3: r"""
            nipples? panties penis(?:es)? vaginas? vaginal nud(?:e|ity) naked(?:ness)? orgasm\w* erections? semen
            fetish\w* ejaculat\w+ foreplay seduc\w+ (?:had|have|having|has)_sex sex_(?:with|toys?|tapes?|acts?|scene)
            sexy arous(?:ed|al|ing) intercourse step.?(?:mom|sis|dad|bro) lap.?dances? strippers? strip.?clubs?
            thrust\w* prostitut\w+ moan(?:ed|ing|s) groin crotch undress\w* topless lust(?:ful|ing|s)? kink(?:y|s)?
            bondage anal nsfw xxx virginity (?:made|making|make)_love one.night_stands? rape[ds]? raping rapists?
            molest\w* slutty lingerie thong butt.?hole between_(?:my|his|her|their|your)_(?:legs|thighs)
            (?:my|his|her|their|your)_(?:bare|naked)_\w+ sensual\w* submissive
            unzip\w*_(?:my|his|her|their|your)_\w+ escorts adult_(?:dating|videos?|films?|sites?|stars?)
            sugar_dadd\w+ swingers hook.?ups? wank(?:ing)? shagg(?:ed|ing) naughty making_out make_out g.spot
            (?:inside|deeper_in(?:to|side)?|penetrat\w+)_(?:her|him|me) sexual_favou?rs?
        """,
        0.1: r"""
            sex sexual(?:ly)? breasts? butt(?:ocks)? thighs? kiss(?:ed|ing) bra caress\w* climax\w* intimate(?:ly)?
            cleavage hot_(?:girls?|guys?|women|babes?) babes? lips pleasur(?:e|ed|ing) desires? passionate(?:ly)?
            whispered waist strok(?:ed|ing) tongue
        """,
    },
    "minors": {
        1.2: r"""
            child_porn\w* kiddie_porn\w* lolicon shotacon jailbait
        """,
        0.5: r"""
            pa?edophil\w* lolita
        """,
    },
    "hate": {
        1.6: r"""
            nigg(?:er|ers|uh|az) kikes? spics gooks? wetbacks? beaners? rag.?heads? towel.?heads? sand.?nigg\w+
            camel.?jockeys? jigaboos? porch.?monkeys? faggots? shemales? mud.?slimes? muzzies? kanaken? bougnoules?
            negratas? sudacas? judensau schwuchteln? untermensch\w* race.?traitors? sieg_heil heil_hitler gas_the_\w+
            hitler_(?:was|did)_(?:right|nothing_wrong) holohoax sale_(?:juif|arabe|noir|negre)s? auslander_raus
            juden_raus white_power
        """,
        0.8: r"""
            nigga[hs]? fags? trann(?:y|ies) sub.?humans? race.?mix(?:ing|er)s? race_war feminazis? femoids? foids?
            goyim great_replacement white_genocide 14/88 dindus? pikeys? spasti neger mongoloids? maricon(?:es)?
            master_race islam_is_(?:a_|an_|the_)?(?:cancer|evil|disease|cult|plague)
            (?:jews|zionists)_(?:control|own|run|rule) holocaust_(?:is|was)_(?:a_)?(?:hoax|lie|fake|myth)
            jewish_(?:question|conspiracy) superior_race inferior_(?:race|people|beings?|gender|sex)
            go_back_to_(?:your|their|his|her|africa|mexico|china)(?:_\w+)?
            (?:make_me_a_sandwich|get_back_in_the_kitchen|belongs?_in_the_kitchen)
        """,
        0.3: r"""
            retard(?:ed|s)? chinks coons pakis dykes spic fag white_(?:supremac\w+|pride|race) illegals infest\w*
            ethnic_cleansing jihadis? anchor_bab(?:y|ies) savages barbarians nazis? kkk hordes? racist sexist
            libtards? sodomites? degenera(?:te|tes|cy) abomination invaders vermin parasites
        """,
        0.1: r"""
            hate[ds]? hatred evil inferior hitler zionis[mt]s? supremacis[mt]s? bigot\w* homophob\w* islamophob\w*
            anti.?semit\w* misogyn\w* slurs? infidels?
        """,
    },
    "harassment": {
        1.4: r"""
            kys go_die neck_yourself eat_shit fuck_(?:you|off|yourself|u) go_fuck_\w+ kill_yourself
            hope_(?:you|he|she|they)(?:_\w+)?_(?:die|dies|rot|burn|suffer|get_cancer|get_raped|choke) rot_in_hell
            burn_in_hell you_(?:should|deserve_to|need_to|better)_die nobody_(?:likes|loves|wants)_you hurensohn\w*
            missgeburt\w* fick_dich halt_(?:die|deine)_(?:fresse|schnauze|klappe) hijos?_de_puta puta_madre
            vete_a_la_mierda chinga_tu_\w+ fils_de_pute nique_ta_\w+ va_te_faire_\w+ ta_gueule vaffanculo
            filho_da_puta vai_se_foder
            du_(?:\w+_)?(?:arschloch|schlampe|hure|wichser|schwein|idiot|opfer|penner|sau|vollidiot)
            eres_(?:un_|una_)?(?:\w+_)?(?:idiota|imbecil|estupid[oa]|puta|mierda|basura|gilipollas|pendej[oa]|cabron|inutil)
            (?:t'es|tu_es|vous_etes)_(?:un_|une_)?(?:\w+_)?(?:idiote?|conn?e?|connard|connasse|salope|merde|nulle?|debile)
            (?:gros|sale|pauvre)_con(?:ne|nard|nasse)?
        """,
        0.7: r"""
            asshole\w* dick.?heads? dumb.?(?:ass|fuck)\w* mother.?fuck\w* scum.?bags? douche.?bags? shit.?heads?
            cock.?suckers? go_to_hell screw_you stfu shut_(?:the_\w+_)?up you_make_me_(?:sick|puke) you_disgust_me
            i_hate_you waste_of_(?:space|air|oxygen) (?:piece|sack|pile)_of_(?:shit|garbage|trash|filth|crap) whores?
            suck_my_\w+ kiss_my_ass skanks? fat.?ass arschl(?:o|oe)ch\w* wichser\w* schlampen? nutten? gilipollas
            cabron(?:es)? pendej[oa]s? connard\w* connasses? encul\w+ salopes? putes? stronz[oi] puttan\w+ putas?
            vollidiot\w* miststuck fotze\w*
        """,
        0.3: r"""
            idiots? morons? imbeciles? dumb stupid(?:ity)? losers? pathetic ugly jerks? cowards? freaks? creeps?
            perverts? low.?life bitch(?:es|y|ing)? sluts? bastards? cunts? twats? wankers? pricks? incels? worthless
            drop_dead disgust\w* loathe\w* despis\w+ scum cry.?bab(?:y|ies) brain.?dead shame_on_you nobody_asked
        """,
        0.1: r"""
            annoying ridiculous liars? clowns? fools? shame selfish crazy insane trash
        """,
    },
    "violence": {
        1.2: r"""
            death_to_(?:all|the|every)?(?:_\w+)? deserves?_to_die
            shoot_up_(?:the|a|my|this)_(?:school|mall|church|\w+_school)
            (?:he|she|you|people|who|traitors|deserves?)_(?:\w+_)?(?:should|must|need|ought|deserve|to)_(?:all_|to_)?(?:be_)?(?:shot|killed|hanged|hung|executed|raped|beaten|lynched|gassed|exterminated|tortured|castrated|burned|stoned)
            slit_(?:my|his|her|their|your)_throats? bash_(?:his|her|their|your)_\w+
            (?:cut|chop|hack|saw|rip)\w*_off_(?:his|her|their|your)_(?:head|arms?|legs?|hands?|fingers?|face|limbs|skin)
            ich_bringe?_(?:dich|euch|ihn|sie)_um te_voy_a_matar je_vais_te_tuer ti_ammazzo vergast vergasen
        """,
        0.6: r"""
            behead\w* decapitat\w+ dismember\w* disembowel\w* mutilat\w+ bludgeon\w* entrails pool_of_blood
            blood_(?:pour|gush|spurt|spray|splatter|dripp|pool|soak)\w* (?:beat|stab|kick)\w*_(?:\w+_)?to_death
            burn\w*_alive lynch(?:ed|ing)? you(?:'re|_are)_dead watch_your_back gouge\w* eviscerat\w+ impal(?:ed|ing)
            (?:kill|murder)(?:ed|ing)?_(?:him|her|people|everyone|everybody|children|women|men)
            they_should_(?:all_)?be_(?:shot|hanged|exterminated|gassed|slaughtered) (?:had_it|have_it)_coming
            good_riddance (?:shot|shoot)_(?:\w+_)?in_the_(?:head|face) deserved_to_die deserved_it put_a_bullet_in
            bl(?:ow|ew)(?:n|ing)?_(?:\w+_)?(?:brains|head)_(?:out|off) i_will_(?:destroy|end|hurt)_you
            (?:beat|kick|knock|smack)\w*_the_(?:shit|fuck|crap|hell)_out_of how_to_(?:kill|murder|poison|torture)_\w+
            hide_the_body
        """,
        0.25: r"""
            slaughter\w* massacre[ds]? tortur\w+ stabb(?:ed|ing) strangl\w+ corpses? severed
            murder(?:ed|er|ers|ing|s)? genocid\w+ exterminat\w+ skulls? flesh guts gore brutal(?:ly)? assassinat\w+
            violen(?:ce|tly) bombings? blood(?:y|ied|bath|shed|thirsty)? terroris[mt]s? scream(?:ed|ing|s) revenge
            umbringen ermorden matar asesin\w+ assassiner tuer choked
        """,
        0.1: r"""
            kill(?:s|ed|er|ers|ing)? guns? knife knives dead death die[ds]? bullets? bombs? shoot(?:ing)?
            punch(?:ed|ing) weapons? victims?
        """,
    },
    "self_harm": {
        1.6: r"""
            (?:kill|hang|drown|stab|unalive)(?:ing)?_my.?self slit(?:ting)?_my_\w+
            wish_i_(?:was|were)_(?:dead|never_born) (?:end|ending|take|taking)_(?:my|it)_(?:own_life|life|all)
            (?:kill|hang|cut|drown)_your.?self mich_(?:selbst_)?(?:umbringen|toten|ritzen)
            quiero_(?:morir(?:me)?|matarme|suicidarme) matate tue-toi (?:me|veux)_(?:suicider|tuer|mourir)
            bring_dich_um
        """,
        1.0: r"""
            (?:want|wanna|wish|deserve|ready|trying|tried|decided)_to_die wanna_die better_off_(?:dead|without_me)
            no_(?:reason|point|will|desire)_(?:in_|to_|for_)(?:live|living|life) cutting_my_\w+
            (?:don't|dont|do_not|didn't)_(?:want|wanna)_to_(?:live|be_alive|exist|wake_up|be_here)(?:_any_?more)?
            (?:thinking|thought|think)_(?:of|about)_(?:suicide|killing_myself|ending_it|dying) not_worth_living
            (?:everyone|they|world|family)_(?:would|will)_be_better_off want_to_(?:disappear|be_dead|end_it)
        """,
        0.6: r"""
            suicid(?:al|e_(?:notes?|methods?|pacts?|plan)) self.?(?:harm|mutilat|injur)\w*
            commit(?:s|ted|ting)?_suicide thinspo\w* pro.?ana
            (?:painless|easiest|quickest|best)_(?:way|death|method)s?_(?:to_die|to_kill|of_suicide)
            i_hate_(?:myself|my_life) i_(?:am|feel)_(?:so_)?(?:worthless|hopeless|empty)
            (?:cut|harm|starv|burn|shoot)\w*_myself jump(?:ing)?_off_(?:a|the)_(?:bridge|building|roof|cliff)
            selbstmord_begehen suicidarse se_suicider can't_(?:take|do)_(?:it|this)_any_?more
            no_one_(?:would|will)_(?:care|miss_me|notice) ways?_to_(?:die|kill_myself)
        """,
        0.3: r"""
            suicid(?:e|es|io) selbstmord overdos(?:e|ed|ing) lethal_dose noose razor_?blades? anorexi[ac] bulimi[ac]
        """,
        0.1: r"""
            sleeping_pills hopeless(?:ness)? depress(?:ed|ion) despair can't_go_on give_up_on_life bleed(?:ing)?
            crying miserable a_burden i_hate scars
        """,
    },
    "profanity": {
        0.7: r"""
            (?:mother|cluster|mind|dumb)?fuck(?:s|er|ers|ed|ing|in|wit|tard)? cunts? verpiss_dich fick(?:er|t)?
            chingad\w+
        """,
        0.35: r"""
            (?:bull|horse|dip|ape)?shit(?:s|ty|ting|ted|hole|show|load|faced)? assholes? wtf arsch bollocks scheiss\w*
            mierda joder merde putain cazzo caralho porra foder
        """,
        0.15: r"""
            ass arse bitch(?:es)? dicks? piss(?:ed|ing)? bastards? goddamn\w* crap(?:py)? damn(?:ed|it)? bloody_hell
            sucks
        """,
    },
}
"""Kind of harm -> evidence of one mention -> words."""

DISGUISED: dict[str, dict[float, tuple[str, ...]]] = {
    "profanity": {0.7: ("fuck", "cunt"), 0.35: ("shit",), 0.15: ("bitch",)},
    "hate": {1.6: ("nigger", "faggot"), 0.8: ("nigga",)},
    "harassment": {1.4: ("kill yourself", "fuck you"), 0.7: ("asshole", "whore")},
    "sexual": {0.6: ("pussy", "porn", "boobs")},
}
"""Words that people write with figures, stars, look-alike letters or marks between the letters."""

CARE = r"""
    hot.?line life.?line helpline crisis_(?:line|text|center|centre) samaritans 988 telefonseelsorge seek_(?:\w+_)?help
    professional_help reach_out you(?:'re|_are)_not_alone prevention therapist counsell?or mental_health
"""
"""A text that sends people to help speaks of self-harm without doing any."""
