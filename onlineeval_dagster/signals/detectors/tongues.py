"""How languages are told apart: their commonest small words, or a script that is theirs alone. Data."""

SMALL_WORDS: dict[str, str] = {
    "en": "the and of to is in that it for on with as are was this be you have not by from or at but they we can "
    "your will which their has would there what all if when about an my were been how who more some these than "
    "i he she do does should its our his her them no so up out into just any t s ve re ll",
    "de": "der die und das ist nicht den dem ein eine zu von mit sich des auf für es im als auch an werden aus er "
    "sie nach bei einer um am sind noch wie einem über einen so zum haben nur oder aber vor zur bis mehr durch "
    "kann wenn wird sein ich wir ihr ihre ihnen mein dass was keine man diese dieser dieses hat mir mich bitte",
    "nl": "de het een en van ik te dat die in is niet zijn op aan met als voor er maar om hem dan zou of wat mijn "
    "dit zo door over ze bij ook tot je uit der daar haar naar heeft hebben deze u want nog kan worden wordt "
    "geen moet hoe wij uw onze waar meer na zoals kunt wel",
    "es": "de la que el en y los se del las un por con una su para es al lo como más pero sus le ya o este sí porque "
    "esta entre cuando muy sin sobre ser también me hasta hay donde quien desde todo nos durante ni contra ese "
    "eso mi qué yo está están son puede no usted cómo tiene después antes cada así esté tan hace ahora tu te "
    "gracias favor cuanto aunque luego mientras según fue han",
    "pt": "de que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua "
    "ou ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos ter "
    "seus quem nas me esse eles você são pode meu minha o a",
    "fr": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec son ou "
    "je vous nous mais cette ces aux être été leur elle ils tout même comme si d l qu n c s j peut fait votre "
    "notre à où très aussi sans mon ma mes on y donc",
    "it": "di e il che la in un a per è una sono del non i con si da le come della più dei nel ha alla anche lo ma "
    "al delle gli se dal o questo questa ed nella essere degli mi suo sua ci loro perché quando molto tutti io "
    "sul tra può cosa stato dalla ai l dell all mio quello c",
    "ro": "și de în la a cu pe nu este să care o un din că se pentru mai au ce sunt fost dar prin ca sau după sa lui "
    "dacă când cum fi am ai al ale unei unui această acest foarte toate poate între până ei el ea îi le ne vă "
    "mi",
    "ca": "de la i el que a en els les un per amb una és del no al es són més com dels aquest aquesta però seva seu "
    "o pel també hi ha molt quan ser fins sobre entre ja tot tots on sense perquè pot jo meu aquests què",
    "sv": "och att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när år "
    "under också efter eller nu sin där vid mot ska skulle kommer ut får finns vara hade alla andra mycket än "
    "här då bara din dig mig du blir utan ni",
    "da": "og at det er en til på som med for av af den har de ikke et i jeg var fra vi så kan men når eller også "
    "han hun om meg mig deg dig etter efter ble blev blir bliver vil skal ut ud over under hva hvad noe noget "
    "mye meget din dette denne være ville kunne du sig seg hvis hvordan hvor bare enn end der",
    "fi": "ja on ei se että oli hän en mutta ovat kuin myös tai jos joka mitä niin kun vain sen voi hänen minä sinä "
    "me te he tämä olla ole tämän siitä kanssa mukaan sekä jotka jonka koska mikä voit ovatko sinun minun nyt "
    "vielä olen olet olivat vuonna sitä eivät saa sai noin usein tällä siihen siinä jossa jolloin lisäksi "
    "kuitenkin esimerkiksi tulee pitää hyvin",
    "pl": "w i na z się do nie to że jest o jak za od po a przez dla są ale tak co czy jego być już oraz może przy "
    "tym które który która tylko jej ze lub gdy można było ma mnie tego jeśli bardzo więc mi ich pan pani ten "
    "ta te",
    "cs": "a se v je na že to s z do i o jako by pro ale za jsou byl jeho po od který která které jak tak podle jen "
    "není bylo nebo jsem může při už ve k což co když také má pokud být si tento jste mám prosím jsme tím této "
    "však tedy jejich před mezi roku aby kdy nebyl byla byly než",
    "hr": "i u je se na da su za od s što nije koji koja koje kao ali ili samo može sa iz to će bi ako nakon kada "
    "bio prema još te sam sve biti jer kako po ne mi vam molim možete treba gdje ovo и у је на се да су за од "
    "са што није који која које као али или само може из то ће би ако након када био према још сам све бити "
    "јер како по не ми вам молим можете треба где ово",
    "hu": "a az és hogy nem is egy ez de meg ha csak van volt már mint el még vagy azt lehet kell minden ki ezt mert "
    "nagyon itt után aki amely pedig akkor ami lesz majd ezek közül által között szerint kérem mi én ön voltak "
    "ezért ilyen első két év ahol valamint például így fel",
    "tr": "ve bir bu da de için ile çok olarak daha gibi olan en var ne kadar sonra değil ama mi mı o ya her ben sen "
    "biz siz ise veya olduğu şey nasıl neden yok ki kendi önce göre tarafından bunu lütfen olur oldu değildir "
    "ayrıca ancak hem üzere ilk iki eder etmek bazı birçok vardır",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena tersebut bisa ada mereka "
    "lebih kata oleh atau saat sudah telah adalah anda kami kita dapat menjadi jika apa bagaimana seperti "
    "sangat dia harus agar",
    "vi": "là của và có không được cho các một những với trong này người để khi đã cũng như từ thì đó ra lại nhiều "
    "về sẽ vào đến phải tôi bạn anh nếu hay rất trên còn đang làm gì nào mà",
    "ru": "и в не на что с он как по это но из у за то его к от так для я вы мы мне бы если или все же есть был была "
    "они она вас ваш когда только уже о до их может можно при чтобы где после нет ли этот будет которые "
    "который которая также её более под без том лет году чем там себя ещё были во",
    "uk": "і в не на що з він як до та це у за але від я ви ми його або для про так мені якщо є був була вони вона "
    "вас ваш коли тільки вже її їх може можна при щоб де після немає чи цей буде ще й також який яка які "
    "більше під без того років році ніж там себе були",
    "bg": "и на да в не се е от за с че по това си са като до ще ли но при му го има той тя те аз вие ние ако или "
    "само още което който които може след бъде бе ви ни когато няма трябва",
    "ar": "في من على أن إلى هذا هذه لا ما عن التي الذي مع كان هو هي لم أو قد كل بعد ذلك يمكن هل أنا إذا كيف لقد ليس "
    "عند لك حتى بين كما ولا يتم أنت نحن غير منذ وهو وهي كانت وقد وفي ومن أكثر عام ولم خلال حيث بها منها له لها "
    "ثم هناك بعض أي تم",
    "fa": "در به از که این را با است برای آن یک خود تا بر هم نیز می شود شما من ما او ها یا اگر چه هر باید بود نمی "
    "های کنید شده اما دارد ای کرد چگونه",
    "ur": "کے میں کی ہے اور سے کا کو اس کہ ہیں نے پر یہ بھی آپ تو نہیں ایک کر لیے ہو جو تھا یا ان کیا گا ہوں اپنے "
    "تھے کسی وہ گے مجھے",
}
"""Words that a few hundred characters of running text are sure to hold, put together by hand.

Danish and Norwegian are one (`da`), as are Croatian, Bosnian and Serbian (`hr`) in both their scripts: most of these
words are the same.
"""

SCRIPTS: dict[str, tuple[str, float]] = {
    "zh": (r"\p{Han}", 4),
    "ja": (r"[\p{Hiragana}\p{Katakana}]", 4),
    "ko": (r"\p{Hangul}", 5),
    "th": (r"\p{Thai}", 10),
    "el": (r"\p{Greek}", 12),
    "he": (r"\p{Hebrew}", 12),
    "hi": (r"\p{Devanagari}", 12),
    "bn": (r"\p{Bengali}", 12),
    "ta": (r"\p{Tamil}", 12),
    "te": (r"\p{Telugu}", 12),
    "kn": (r"\p{Kannada}", 12),
    "ml": (r"\p{Malayalam}", 12),
    "gu": (r"\p{Gujarati}", 12),
    "pa": (r"\p{Gurmukhi}", 12),
    "ka": (r"\p{Georgian}", 12),
    "hy": (r"\p{Armenian}", 12),
    "am": (r"\p{Ethiopic}", 12),
    "km": (r"\p{Khmer}", 12),
    "my": (r"\p{Myanmar}", 12),
}
"""The script of a language that hardly another product's users write, and how many of its letters are worth one small
word: about one word in two and a half is small, and words have two letters (Han) to five.
"""

SAME = {"no": "da", "nb": "da", "nn": "da", "iw": "he", "in": "id", "ms": "id", "bs": "hr", "sr": "hr", "sh": "hr"}
"""Codes that mean one of the languages above."""

NAMES_A_LANGUAGE = (
    r"translat|übersetz|vertaal|vertal|traduc|tradui|traduz|tradur|översätt|oversæt|oversett|tłumacz|přelož|preved|prevod"
    r"|fordít|çevir|terjemah|käännä|tradu|перев[ео]д|переклад|перекла[дс]|преведи|ترجم|번역|翻[译譯訳]|अनुवाद|แปล|תרגם"
    r"|\blanguages?\b|\bsprachen?\b|\bidiomas?\b|\blangues?\b|\blingua\b|\blengua\b|\btaal\b|\bspråk|\bsprog\b|\bjęzyk"
    r"|язык|мов[аи]\b|言語|语言|語言|언어"
    r"|\b(?:english|german|french|spanish|italian|portuguese|dutch|swedish|danish|norwegian|finnish|polish|czech"
    r"|romanian|hungarian|turkish|russian|ukrainian|greek|arabic|hebrew|persian|farsi|hindi|urdu|bengali|tamil|thai|vietnamese"
    r"|indonesian|malay|chinese|mandarin|cantonese|japanese|korean|latin|swahili|catalan|croatian|serbian|bulgarian)\b"
    r"|\b(?:deutsch|englisch|französisch|spanisch|italienisch|portugiesisch|niederländisch|russisch|türkisch|polnisch"
    r"|chinesisch|japanisch|arabisch|griechisch|lateinisch)"
    r"|\b(?:ingl[eé]s|español|castellano|alem[aá]n|franc[eé]s|italiano|portugu[eê]s|ruso|chino|japon[eé]s|coreano|árabe)"
    r"|\b(?:anglais|français|allemand|espagnol|italien|portugais|russe|chinois|japonais|coréen|arabe|néerlandais)"
    r"|\b(?:inglese|tedesco|francese|spagnolo|portoghese|russo|cinese|giapponese|arabo)\b"
    r"|\b(?:alemão|francês|espanhol|russo|chinês|japonês|inglês)"
    r"|\b(?:engels|duits|frans|spaans|engelska|tyska|franska|spanska|engelsk|tysk|angielsk|niemieck|ingilizce|almanca)"
    r"|английск|немецк|французск|русск|испанск|англійськ|українськ"
    r"|英[语語文]|日[语語文本]|中文|汉语|漢語|国語|[韩韓德法独仏西]国?[语語文]|영어|한국어|일본어|중국어|독일어|프랑스어"
)
"""In a question or before it: another language is perhaps what was asked for. Over lower-cased text."""
