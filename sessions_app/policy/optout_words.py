"""The words of `optout`, by language: those that mean stop, those that mean start."""

Words = tuple[tuple[str, ...], tuple[str, ...]]

EVERYWHERE: Words = (
    ("stop", "stop all", "stopall", "unsubscribe", "opt out", "optout"),
    ("start", "unstop", "subscribe", "opt in", "optin"),
)

POLITE = (
    "please", "pls", "thanks", "thank you", "thx", "bitte", "danke", "por favor", "gracias", "s'il vous plaît", "s'il te plaît",
    "svp", "stp", "merci", "per favore", "per piacere", "grazie", "obrigado", "obrigada", "alstublieft", "alsjeblieft", "aub",
    "dank u", "dank je", "bedankt", "lütfen", "teşekkürler", "من فضلك", "شكرا", "proszę", "dziękuję", "пожалуйста", "спасибо",
)  # fmt: skip

WORDS: dict[str, Words] = {
    "en": (
        ("stop messages", "stop messaging me", "stop texting me", "remove me", "no more messages"),
        ("start again", "resubscribe", "sign me up again"),
    ),
    "de": (
        ("stopp", "abmelden", "abbestellen", "austragen", "keine nachrichten mehr"),
        ("anmelden", "wieder anmelden", "eintragen", "starten"),
    ),
    "es": (
        ("alto", "parar", "baja", "darme de baja", "dar de baja", "no más mensajes"),
        ("alta", "darme de alta", "dar de alta", "iniciar", "suscribir", "suscribirme"),
    ),
    "fr": (
        ("arrêt", "arrêter", "arrêtez", "désabonner", "me désabonner", "désinscrire", "me désinscrire", "plus de messages"),
        ("démarrer", "s'abonner", "m'abonner", "s'inscrire", "m'inscrire", "me réabonner"),
    ),
    "it": (
        ("ferma", "fermati", "disiscrivi", "disiscrivimi", "cancellami", "disiscrizione", "niente più messaggi"),
        ("inizia", "avvia", "iscrivi", "iscrivimi", "iscrizione"),
    ),
    "pt": (
        ("parar", "pare", "sair", "descadastrar", "cancelar inscrição", "não quero mais mensagens"),
        ("iniciar", "inscrever", "cadastrar", "quero receber mensagens"),
    ),
    "nl": (
        ("stoppen", "afmelden", "uitschrijven", "meld me af", "geen berichten meer"),
        ("starten", "aanmelden", "inschrijven", "meld me aan"),
    ),
    "tr": (
        ("durdur", "ret", "çık", "abonelikten çık", "listeden çıkar", "mesaj istemiyorum"),
        ("başla", "başlat", "abone ol"),
    ),
    "ar": (
        ("توقف", "أوقف", "قف", "إيقاف", "إلغاء الاشتراك", "لا أريد رسائل"),
        ("ابدأ", "بدء", "اشتراك", "اشترك"),
    ),
    "pl": (
        ("wypisz", "wypisz mnie", "rezygnuję", "zatrzymaj", "koniec wiadomości", "nie pisz"),
        ("zapisz", "zapisz mnie", "wznów"),
    ),
    "ru": (
        ("стоп", "отписаться", "отписка", "отпишите", "отпишите меня", "не пишите"),
        ("старт", "подписаться", "подписка", "возобновить"),
    ),
}
