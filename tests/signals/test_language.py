"""The language of an answer and of its question: 30 languages against each other, and what tells none."""

import pytest

from onlineeval_dagster.signals.detectors.language import LANGUAGES
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from tests.signals.batches import batch

LANGUAGE = DETECTORS["language_mismatch"]

# A question and its answer, as a shop would hear and say it.
SAID = {
    "en": (
        "How long do I have to wait until the money is back in my account?",
        "The refund takes three to five working days after we have received the parcel. You will get an e-mail as "
        "soon as it is on its way to your bank.",
    ),
    "de": (
        "Wie lange muss ich warten, bis das Geld wieder auf meinem Konto ist?",
        "Die Erstattung dauert drei bis fünf Werktage, nachdem das Paket bei uns angekommen ist. Sie bekommen "
        "eine E-Mail, sobald das Geld auf dem Weg zu Ihrer Bank ist.",
    ),
    "nl": (
        "Hoe lang moet ik wachten totdat het geld weer op mijn rekening staat?",
        "De terugbetaling duurt drie tot vijf werkdagen nadat wij het pakket hebben ontvangen. U krijgt een "
        "e-mail zodra het geld onderweg is naar uw bank.",
    ),
    "es": (
        "¿Cuánto tiempo tengo que esperar hasta que el dinero esté en mi cuenta?",
        "El reembolso tarda de tres a cinco días laborables después de que recibamos el paquete. Le enviaremos un "
        "correo en cuanto el dinero esté en camino a su banco.",
    ),
    "pt": (
        "Quanto tempo tenho de esperar até que o dinheiro esteja na minha conta?",
        "O reembolso demora três a cinco dias úteis depois de recebermos a encomenda. Vai receber um e-mail assim "
        "que o dinheiro estiver a caminho do seu banco.",
    ),
    "fr": (
        "Combien de temps dois-je attendre avant que l'argent soit sur mon compte ?",
        "Le remboursement prend trois à cinq jours ouvrés après la réception du colis dans nos locaux. Vous "
        "recevrez un message dès que la somme est en route vers votre banque.",
    ),
    "it": (
        "Quanto tempo devo aspettare perché i soldi siano di nuovo sul mio conto?",
        "Il rimborso richiede da tre a cinque giorni lavorativi dopo che abbiamo ricevuto il pacco. Le scriveremo "
        "non appena la somma è in viaggio verso la sua banca.",
    ),
    "ro": (
        "Cât timp trebuie să aștept până când banii sunt din nou în contul meu?",
        "Rambursarea durează între trei și cinci zile lucrătoare după ce am primit coletul. Veți primi un mesaj "
        "de îndată ce suma este pe drum către banca dumneavoastră.",
    ),
    "ca": (
        "Quant de temps he d'esperar fins que els diners siguin al meu compte?",
        "El reemborsament triga de tres a cinc dies feiners després que rebem el paquet. També us enviarem un "
        "correu quan els diners siguin de camí al vostre banc, però això pot ser més tard.",
    ),
    "sv": (
        "Hur länge måste jag vänta tills pengarna är på mitt konto?",
        "Återbetalningen tar tre till fem arbetsdagar efter att vi har fått paketet. Du får ett mejl när pengarna "
        "är på väg till din bank, och det kan ta en dag till.",
    ),
    "da": (
        "Hvor længe skal jeg vente, før pengene er på min konto?",
        "Refusionen tager tre til fem hverdage, efter at vi har modtaget pakken. Du får en e-mail, når pengene er "
        "på vej til din bank, og det kan tage en dag mere.",
    ),
    "fi": (
        "Kuinka kauan minun pitää odottaa, että rahat ovat tililläni?",
        "Palautus kestää kolmesta viiteen arkipäivää, kun olemme saaneet paketin. Saat viestin, kun rahat ovat "
        "matkalla, mutta se voi myös kestää päivän, jos pankki on kiinni.",
    ),
    "pl": (
        "Jak długo muszę czekać, aż pieniądze będą na moim koncie, i czy to jest pewne?",
        "Zwrot trwa od trzech do pięciu dni roboczych po tym, jak otrzymamy paczkę. Wyślemy do pana wiadomość, "
        "gdy pieniądze będą już w drodze do banku.",
    ),
    "cs": (
        "Jak dlouho musím čekat, než budou peníze na mém účtu, a je to jisté?",
        "Vrácení trvá tři až pět pracovních dnů po tom, co jsme dostali balík. Zprávu dostanete, když jsou peníze "
        "na cestě do vaší banky, ale může to být i později.",
    ),
    "hr": (
        "Koliko dugo moram čekati da novac bude na mom računu i što ako ga nema?",
        "Povrat traje tri do pet radnih dana nakon što smo primili paket. Poslat ćemo vam poruku kada je novac na "
        "putu prema banci, ali to može biti i kasnije.",
    ),
    "hu": (
        "Mennyi ideig kell várni, hogy a pénz a számlán legyen, és ez biztos?",
        "A visszatérítés három-öt munkanap az után, hogy a csomag megérkezett. Azt is megírjuk, ha a pénz már "
        "úton van a bankhoz, de ez egy nappal később is lehet.",
    ),
    "tr": (
        "Param hesabıma ne kadar sonra geçer ve bu kesin mi?",
        "İade, paket bize ulaştıktan sonra üç ile beş iş günü sürer. Para yola çıktığında size bir e-posta gelir, "
        "ama bu banka için bir gün daha olabilir ve çok nadir olarak daha uzun.",
    ),
    "id": (
        "Berapa lama saya harus menunggu sampai uang itu ada di rekening saya?",
        "Pengembalian dana memakan tiga sampai lima hari kerja setelah paket kami terima. Anda akan mendapat "
        "surel jika uang sudah dalam perjalanan ke bank, dan ini bisa lebih lama.",
    ),
    "vi": (
        "Tôi phải chờ bao lâu để tiền được trả lại cho tài khoản của tôi?",
        "Việc hoàn tiền cần ba đến năm ngày làm việc sau khi chúng tôi nhận được gói hàng. Bạn sẽ nhận một thư "
        "khi tiền đã được gửi đến ngân hàng của bạn.",
    ),
    "ru": (
        "Как долго мне ждать, чтобы деньги были на счёте, и что если их нет?",
        "Возврат занимает от трёх до пяти рабочих дней после того, как мы получим посылку. Вы получите письмо, "
        "когда деньги уже будут в пути, но это может быть и позже.",
    ),
    "uk": (
        "Як довго мені чекати, щоб гроші були на рахунку, і що якщо їх немає?",
        "Повернення триває від трьох до п'яти робочих днів після того, як ми отримаємо посилку. Ви отримаєте "
        "лист, коли гроші вже будуть у дорозі, але це може бути й пізніше.",
    ),
    "bg": (
        "Колко време трябва да чакам, за да бъдат парите по сметката, и какво ако ги няма?",
        "Връщането отнема от три до пет работни дни, след като получим пратката. Ще ви пишем, когато парите са на "
        "път, но това може да бъде и по-късно, ако е празник.",
    ),
    "ar": (
        "كم من الوقت يجب أن أنتظر حتى يعود المال إلى الحساب؟",
        "يستغرق رد المال من ثلاثة إلى خمسة أيام عمل بعد أن نتسلم الطرد. سوف تصلك رسالة عند إرسال المال إلى البنك، "
        "ولا يمكن أن يتم ذلك قبل هذا.",
    ),
    "fa": (
        "چند روز باید صبر کنم تا پول به حساب من برگردد و اگر نشد چه؟",
        "بازگشت پول سه تا پنج روز کاری پس از رسیدن بسته است. وقتی پول در راه بانک باشد برای شما پیام می فرستیم، "
        "اما این کار یک روز هم دیرتر می شود.",
    ),
    "zh": (
        "钱要等多久才能回到我的账户？",
        "我们收到包裹后，退款需要三到五个工作日。款项寄往您的银行时，您会收到一封邮件。",
    ),
    "ja": (
        "お金が口座に戻るまで、どのくらい待てばいいですか？",
        "荷物が届いてから三日から五営業日で返金いたします。銀行への手続きが済みましたら、メールでお知らせします。",
    ),
    "ko": (
        "돈이 계좌로 돌아올 때까지 얼마나 기다려야 하나요?",
        "소포를 받은 후 환불에는 영업일 기준 삼 일에서 오 일이 걸립니다. 돈을 은행으로 보내면 메일로 알려 드립니다.",
    ),
    "el": (
        "Πόσο πρέπει να περιμένω μέχρι να επιστρέψουν τα χρήματα στον λογαριασμό μου;",
        "Η επιστροφή χρημάτων διαρκεί τρεις έως πέντε εργάσιμες ημέρες αφού παραλάβουμε το δέμα. Θα λάβετε μήνυμα.",
    ),
    "hi": (
        "पैसे मेरे खाते में वापस आने तक मुझे कितना इंतज़ार करना होगा?",
        "पार्सल मिलने के बाद धनवापसी में तीन से पाँच कार्यदिवस लगते हैं। पैसे बैंक को भेजे जाने पर आपको संदेश मिलेगा।",
    ),
    "th": (
        "ฉันต้องรอนานแค่ไหนกว่าเงินจะกลับเข้าบัญชี",
        "การคืนเงินใช้เวลาสามถึงห้าวันทำการหลังจากที่เราได้รับพัสดุ คุณจะได้รับอีเมลเมื่อส่งเงินไปยังธนาคารแล้ว",
    ),
}


def rows(questions, answers, **around):
    table = batch(LANGUAGE.needs, query=questions, response=answers, **around)
    return LANGUAGE.score(table).to_pylist()


def row(question, answer, **around):
    return rows([question], [answer], **{name: [value] for name, value in around.items()})[0]


def test_the_languages_of_the_world_here_are_languages_of_the_detector():
    assert set(SAID) <= set(LANGUAGES)


@pytest.mark.parametrize("asked", SAID)
def test_a_question_and_an_answer_in_one_language_match(asked):
    found = row(*SAID[asked], language=asked)
    assert (found["flagged"], found["raw_value"]) == (False, 0.0)
    unstated = row(*SAID[asked])
    assert (unstated["flagged"], unstated["raw_value"] or 0.0) == (False, 0.0)


@pytest.mark.parametrize("asked", SAID)
def test_an_answer_in_any_other_language_is_told_with_both_names(asked):
    others = [language for language in SAID if language != asked]
    questions = [SAID[asked][0]] * len(others)
    found = rows(questions, [SAID[language][1] for language in others], language=[asked] * len(others))
    told = {language: each["reason"] for language, each in zip(others, found, strict=True) if each["flagged"]}
    # Never a wrong name; and of the nearest relatives (Catalan) one may pass for another.
    assert told == {language: f"{language} to {asked}" for language in told}
    assert len(told) >= len(others) - 3
    assert {each["score"] for each in found} <= {-0.8, None}


def test_a_short_question_leaves_it_to_the_stated_language_and_without_one_nobody_can_tell():
    english, german = SAID["en"][1], SAID["de"][1]
    for stated, flagged in (("de", True), ("de-DE", True), ("DE_at", True), ("en-GB", False)):
        assert row("Wetter?", english, language=stated)["flagged"] == flagged
    for stated in (None, "", "tlh", "x"):
        assert row("Wetter?", english, language=stated)["raw_value"] is None
    # The question itself weighs more than a setting of the browser.
    assert not row(SAID["de"][0], german, language="en")["flagged"]
    assert row(SAID["de"][0], english, language="en")["flagged"]


@pytest.mark.parametrize(
    "question",
    [
        "Could you translate this into French for me: How long do I have to wait until the money is back?",
        "What is the German word for this, and how do I use it?",
        "Übersetze das bitte ins Englische: Wie lange muss ich auf das Geld warten?",
        "Traduce esto al alemán por favor: ¿cuánto tengo que esperar hasta que esté?",
        "请把这句话翻译成德语：钱要等多久才能回到我的账户？",
        "Answer in the language of my customer, please: how long does it take?",
    ],
)
def test_where_a_language_is_named_nobody_can_tell(question):
    for language in ("de", "fr", "en"):
        assert row(question, SAID[language][1])["raw_value"] is None
    asked = SAID["en"][0]
    assert row(asked, SAID["de"][1])["flagged"]
    assert row(asked, SAID["de"][1], conversation=f"User: {question}\nAssistant: Gern.")["raw_value"] is None


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nfor x in the_list:\n    if x is not None and x in (1, 2):\n        return x\n```",
        "for (int i = 0; i < n; i++) {\n  if (this.is_in(the_list)) { return all[i]; }\n}",
        "`is not in the list and will be of that`",
        "https://shop.example/this/is/the/page/that/you/have/to/see-for-it",
        "Bobby Scott, Ric Marlow, Herb Alpert and The Tijuana Brass",
        "42",
        "",
        "> This is the text that you have sent to us and it will be answered as soon as we can.",
        "🎉🎉🎉",
    ],
)
def test_code_names_numbers_and_quotations_tell_no_language(answer):
    assert row(SAID["de"][0], answer)["raw_value"] is None


def test_prose_around_code_tells_it():
    german = SAID["de"][1] + "\n```python\nfor x in the_list:\n    if x is not in this and that:\n        pass\n```"
    assert row(SAID["de"][0], german)["raw_value"] == 0.0
    english = "```python\nx = 1\n```\n" + SAID["en"][1]
    assert row(SAID["de"][0], english)["reason"] == "en to de"


def test_foreign_words_in_an_answer_and_a_foreign_text_in_a_question_are_no_mismatch():
    mixed = SAID["de"][1] + " Der Status heißt: it is on the way and will be with you."
    assert not row(SAID["de"][0], mixed)["flagged"]
    pasted = "Was meint der Kunde mit dieser Nachricht, und was kann ich ihm sagen? " + SAID["en"][1]
    for language in ("de", "en"):
        assert not row(pasted, SAID[language][1])["flagged"]


def test_relatives_that_read_each_other_are_one_language():
    norwegian = "Refusjonen tar tre til fem virkedager etter at vi har mottatt pakken, og du får også en e-post."
    assert not row(SAID["da"][0], norwegian)["flagged"]
    assert not row("ok", SAID["da"][1], language="nb")["flagged"]
    serbian = "Повраћај траје три до пет радних дана након што смо примили пакет, али може бити и касније."
    assert not row(SAID["hr"][0], serbian)["flagged"]


def test_a_word_said_again_and_again_is_one_word():
    assert row("me me me me me me me me", SAID["en"][1])["raw_value"] is None
