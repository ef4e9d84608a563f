"""English, as the safety filters read it: requests to do harm, personal data, and orders to the model."""

PERSON = (
    r"(?:some(?:one|body)|any(?:one|body)|a person|(?:a (?:group|crowd|lot) of )?people|humans?|him|her|them|civilians|a crowd|children|minors?|"
    r"(?:my|your|his|her|their|a|an|the|another|other) (?:[\w-]+ ){0,2}?(?:neighbou?r|wife|husband|spouse|ex|boss|boyfriend|girlfriend|colleague|"
    r"co-?worker|friend|classmate|teacher|partner|roommate|flatmate|child|kid|girl|boy|man|woman|person|human|victim|enemy|mother|father|sister|"
    r"brother|parents?|family|politician|president|celebrity|employee|prisoner|stranger|student|rival|ex-\w+)s?)\b"
)
ANIMAL = (
    r"(?:(?:my|your|a|an|the|stray|wild|endangered|protected)? ?(?:dogs?|cats?|pets?|animals?|kittens?|pupp(?:y|ies)|wildlife|species))"
)
HURT = (
    r"(?:kill|murder|poison|strangle|suffocate|stab|assassinate|torture|kidnap|abduct|lynch|behead|drown|maim|injur|assault|attack|beat|hurt|slaughter|choke|"
    r"harm|shoot|rape|drug|punch|cripple|imprison|mutilat)(?:e|ing|ting|ning|ping)?"
)
MAKE = (
    r"(?:make|making|mak|build|building|construct|assembl|creat|synthesi[sz]|produc|manufactur|buy|get|obtain|acquir|smuggl|print|modif|convert|design|"
    r"develop|deploy|spread|releas|us|plant|detonat|hid|grow|cook|find|sell|procur|steal|weaponi[sz])(?:e|ing|y|ying|ting|ning)?"
)
DRUGS = r"(?:meth|methamphetamine|cocaine|heroin|lsd|mdma|ecstasy|fentanyl|crack|illegal drugs?|drugs|cannabis|marijuana|weed|opioids?|narcotics|hallucinogens?|steroids|ghb|roofies?)"
STEALTH = r"(?:without (?:getting|being) (?:caught|noticed|detected)|undetected|without (?:anyone|anybody|them|her|him|leaving)|secretly|get(?:ting)? away with)"

ASKS = (
    r"\bhow (?:can|could|do|does|did|would|should|to|might|many|much)\b|\bhow'd\b|\bhelp (?:me|us)\b|\bteach\b|\btell me\b|\bshow me\b|\bexplain\b|\bdescribe\b|"
    r"\b(?:give|provide|write|create|make|draft|develop|design|generate|outline|list|suggest|instruct|plan|compose|produce|prepare|publish|build|code|"
    r"come up with|find|offer|share|demonstrate|convince|persuade|encourage|promote|prove|send|formulate|invent|fabricate|spread|launch)\b|"
    r"\bways? (?:to|of|i)\b|\bsteps?\b|\btips\b|\bideas? (?:for|to|on)\b|\btricks? (?:for|to)\b|\b(?:best|good|easiest|quickest|least|most|what) (?:way|place|time|method)|"
    r"\bi (?:want|need|would like|wish|plan|intend|am going) to\b|\bi don't want to\b|\bi'd like\b|\bwhere (?:can|could|do|should|is)\b|\bguide\b|\btutorial\b|\binstructions?\b|"
    r"\brecipe\b|\bstrateg|\bcan (?:you|i)\b|\bcould you\b|\bplease\b|\bscript\b|\bmethods?\b|\bwhat (?:is|are|'s|insults|materials|do i)\b"
)

ACTS = {
    "violence": [
        rf"\b{HURT} (?:\w+ ){{0,3}}?{PERSON}",
        rf"\b(?:kill|hurt|torture|mistreat|abuse|starve|poison|poach|harm|beat)(?:ing)? (?:\w+ ){{0,2}}?{ANIMAL}\b",
        r"\bhir(?:e|ing) (?:a )?(?:hit ?man|assassin|contract killer)|\bget(?:ting)? away with (?:murder|killing)|\bdeath look like an accident|\bcause .{0,20}pain to\b",
        r"\b(?:plan|commit|carry out|stage|organi[sz]e|execute|perpetrate|launch|start|incite|coordinate|conduct|orchestrate) (?:\w+ ){0,3}?(?:kidnapping|murder|massacre|mass shooting|"
        r"shooting|assassination|terror(?:ist)? attack|attack on|bombing|genocide|riot|lynching|violence|assault|dog ?fights?)\b",
        rf"\bpush(?:ing)? {PERSON} (?:off|down|in front)|\b(?:terrorist|extremist) (?:attack|group|organi[sz]ation|cell)|\bdog ?fights?\b|\bphysical(?:ly)? (?:violence|harm|abus)",
        rf"\bpoison(?:ing)? .{{0,30}}(?:food|lunch|drink|water|coffee|tea|supply)\b|\babus(?:e|ing) (?:\w+ ){{0,3}}?{PERSON}",
    ],
    "weapons": [
        rf"\b{MAKE} (?:\S+ ){{0,5}}?(?:(?<!bath )(?<!glitter )(?<!photo )(?<!water )bombs?|explosives?|(?<!glue )(?<!water )(?<!nail )(?<!staple )(?<!heat )guns?|firearms?|rifles?|handguns?|pistols?|grenades?|"
        r"molotov|petrol bomb|strychnine|cyanide|detonators?|nerve gas|mustard gas|poison gas|sarin|ricin|anthrax|(?:chemical|biological|nuclear|illegal) weapons?|bioweapons?|"
        r"(?:deadly|lethal) (?:virus|pathogen|toxin|weapon|poison)s?|land ?mines?|silencers?|flamethrower|ied|poison(?! ivy))\b",
        r"\b(?:bomb-?making|homemade (?:bomb|explosive|weapon)s?|ghost guns?|weapons? of mass destruction|nuclear (?:weapon|bomb)s?|pipe bombs?|car bombs?|dirty bombs?)\b",
        r"\b(?:knife|knives|gun|weapon|firearm|bomb)s? (?:\w+ ){0,2}?(?:past|through|into|onto) (?:\w+ ){0,2}?(?:airport|security|school|plane|court|metal detectors?)",
    ],
    "crime": [
        r"\b(?:rob|burgl\w+|shoplift|embezzl\w+|launder(?:ing)? (?:\w+ ){0,2}?money|money laundering|brib(?:e|ing)|extort\w*|counterfeit|forg(?:e|ing)(?! (?:a |an )?(?:horseshoe|iron|steel|knife|sword|blade|ahead|friendship|alliance|bond))|smuggl(?:e|ing)|traffic(?:king)? (?:\w+ )?(?:people|humans?|children|drugs|arms)|poach(?:ing)? (?:endangered|elephants?|animals|rhinos?))\b",
        r"\b(?:break(?:ing)?|sneak(?:ing)?) into (?:\w+ ){0,3}?(?:house|home|flat|car|shop|store|building|office|apartment|bank)|\bpick(?:ing)? the lock of",
        r"\bevad(?:e|ing) (?:\w+ ){0,2}?(?:tax|taxes|police|detection|law)|\btax (?:evasion|fraud)|\bset(?:ting)? fire to (?:a|an|the|my|some)|\bcommit(?:ting)? (?:\w+ ){0,2}?(?:arson|crimes?|burglary|robbery|perjury|theft|tax)\b",
        r"\bsteal(?:ing)? (?:\w+ ){0,4}?(?:money|cars?|bikes?|art|jewelry|jewellery|goods|products?|from (?:a|an|the|my|work|stores?|people|others)|packages?|catalytic)|\bstolen (?:car|goods|property|art|vehicle)s?\b",
        r"\b(?:illegal(?:ly)?|black market|insider trading|sell(?:ing)? (?:\w+ )?organs?|human trafficking|sabotag\w+|vandali[sz]\w+|drunk driv\w+|pirat(?:e|ing) (?:movies|software|music|games))\b",
        rf"\b{STEALTH}.{{0,40}}(?:steal|theft|fraud|evidence|crime)|\b(?:destroy|hide|tamper\w* with|plant|dispose of)(?:ing)? (?:\w+ ){{0,3}}?(?:evidence|a (?:dead )?body|the body)\b",
    ],
    "fraud": [
        r"\bphishing (?:e-?mail|message|site|website|campaign|attack|scam)|\b(?:pyramid|ponzi) scheme|\bromance scam|\bidentity theft|\bsteal(?:ing)? (?:\w+ ){0,3}?identit",
        rf"\b(?:scam|defraud|swindl|trick|con|cheat|deceiv)(?:e|ing|ming)? (?:\w+ ){{0,3}}?(?:{PERSON}|investors?|customers?|elderly|old people|seniors?|consumers?|insurance|bank)",
        r"\b(?:insurance|credit card|bank|wire|securities|voter|election|charity) fraud|\bcommit(?:ting)? (?:\w+ ){0,2}?fraud|\bcounterfeit|\bfake (?:charity|invoice|check|cheque|id|ids|passport|reviews?|prescription|identity|documents?|company|diploma|currency|money)",
        r"\b(?:somebody|someone) else's (?:credit|debit|bank|identity)|\bcredit card (?:numbers?|information|skimm)|\bprice[- ]fixing|\bcheat(?:ing)? (?:in|on) (?:\w+ ){0,3}?(?:exam|test)s?\b",
        r"\bmanipulat\w+ (?:\w+ ){0,2}?(?:stock|market|election|vot)",
    ],
    "drugs": [
        rf"\b(?:{MAKE}|smok\w+|snort\w*|inject\w*|deal(?:ing)?|traffic\w*|import\w*|tak(?:e|ing)|try|cultivat\w+|extract\w*) (?:\S+ ){{0,4}}?{DRUGS}\b",
        rf"\b{DRUGS} (?:dealer|lab|dealing|trade)|\bdrug (?:dealer|trafficking|lab|cartel)|\b(?:pass|cheat|beat|fool)(?:ing)? (?:a |the )?drug test|\bwithout (?:a )?prescription|\bslip(?:ping)? .{{0,30}}into .{{0,15}}drink|\bspik(?:e|ing) (?:\w+ )?drinks?",
    ],
    "sexual": [
        r"\b(?:porn\w*|erotic\w*|sexually explicit|explicit (?:sex\w*|scene|content|stor\w+)|sexual (?:fantas\w+|positions?|acts?|intimacy|encounter|experience|fetish\w*)|adult (?:toys?|content|movies?)|dirty joke|lewd|deepfake porn|nudes?\b|naked (?:pictures?|photos?|images?))",
        rf"\b(?:have sex|sleep) with (?:\w+ ){{0,3}}?(?:{PERSON}|minors?)|\b(?:without|does not|doesn't) consent|\bnon-?consensual|\bsexual(?:ly)? (?:exploit\w*|abus\w*|assault\w*|harass\w*)|\bhid(?:e|den) (?:a )?cameras?|\brevenge porn|\bbrothel|\bprostitut\w+|\bage (?:checks?|verification)",
    ],
    "privacy": [
        rf"\b(?:track|spy(?:ing)? on|follow|stalk|wiretap|dox(?:x)?|monitor|eavesdrop on|surveil)(?:ing|king)? (?:\w+ ){{0,3}}?(?:{PERSON}|(?:some(?:one|body)|wife|husband|partner|girlfriend|boyfriend)'?s? (?:\w+ )?(?:phone|location|messages))",
        rf"\b{PERSON}(?:'s)?,? .{{0,40}}?(?:social security number|ssn|home address|address|medical|bank (?:account|password)|fingerprints?|dna|passwords?|private (?:messages|photos|information)|credit (?:card|score)|driver'?s licen[cs]e|diseases?|disabilit\w+|religio\w+|political|sexual orientation|salary|genetic|iris|voice|skin tone|gait|weigh|phone number|text messages|criminal record|property|net worth|degrees|hobbies|relatives)\b",
        r"\b(?:home|private|personal) (?:address|phone number|number) of\b",
        r"\bdoxx?ing\b|\b(?:where .{0,30} lives?\b|personal (?:data|information) (?:of|about|from|without)|read(?:ing)? (?:somebody|someone) else's|private (?:information|data|messages) (?:of|about|from)|secretly (?:record|film|photograph|track)|list of customers' personal)",
    ],
    "malware": [
        r"\b(?:hack(?:ing)? (?:into|someone|somebody|a|an|the|my)|malware|ransomware|spyware|key ?loggers?|trojan(?! horse)|botnets?|rootkits?|ddos|dos attack|computer (?:virus|worm)|backdoors?|zero-?day|denial-of-service|sql injection|brute[- ]force)\b",
        r"\bvirus (?:that|to|which) (?:steal|infect|delet|destroy|corrupt|spread)|\b(?:crack|break|steal|bypass|guess|get)(?:ing)? (?:\w+ ){0,3}?(?:passwords?|wi-?fi|encryption|paid software|drm|security (?:system|measures)|firewall|accounts?|authentication|paywall)\b",
        r"\b(?:take over|hijack|break into|gain (?:unauthori[sz]ed )?access to|unauthori[sz]ed access|access)(?:ing)? (?:[\w']+ ){0,4}?(?:account|computer|server|network|database|system|e-?mail|device|webcam|phone)s?\b|\bexploit (?:\w+ ){0,4}?(?:vulnerabilit|for an unpatched|server)|\bcorrupts? (?:\w+ ){0,3}?(?:hard drive|files|system)|\b(?:circumvent|bypass)(?:ing)? (?:\w+ ){0,2}?(?:drm|copyright|censorship|filters|protections?|age|security)|\bflood (?:\w+ ){0,2}?inbox|\bsend(?:ing)? (?:\w+ ){0,3}?spam\b",
    ],
    "harassment": [
        rf"\b(?:bully|bullying|harass\w*|threaten\w*|blackmail\w*|intimidat\w+|humiliat\w+|stalk\w*|gaslight\w*|cyberbully\w*|manipulat\w+|sabotag\w+|defam\w+|slander\w*|ridicul\w+|torment\w*|isolat\w+) (?:\w+ ){{0,3}}?(?:{PERSON}|into|online)",
        r"\b(?:demanding ransom|ransom (?:letter|note|demand))\b|\b(?:threatening|hateful|hate) (?:letter|message|note|e-?mail|speech)s?|\brumou?rs? (?:that|about|to)|\bruin(?:s|ing)? (?:\w+ ){0,3}?(?:reputation|life|career)|\bfake (?:bad )?reviews?|\bbad reviews? for|\b(?:insults?|nasty names|derogatory (?:terms|names)|slurs?|put-?downs?) (?:for|about|that|would|against)\b",
        r"\b(?:turn (?:\w+ )?against|miserable that|bully|gossip about|disgusting\?|worthless|idiotic)\b",
    ],
    "disinformation": [
        r"\b(?:fake|false|fabricated|hoax|made-up|misleading) (?:\w+ ){0,2}?(?:news|stor(?:y|ies)|article|evidence|report|warning|paper|stud(?:y|ies)|alert|information|claims?|announcement|social media)\b",
        r"\b(?:disinformation|misinformation|conspiracy theor\w+|propaganda)\b|\b(?:prove|claim|argue|convince|show|suggest|evidence|article)\w* .{0,40}\b(?:holocaust|moon landing|vaccines? (?:kill|cause)|climate change is|earth is flat|5g|never happened|hoax|staged)",
        r"\b(?:glorif|prais|celebrat)\w* .{0,40}\b(?:nazis?|holocaust|hitler|serial killers?|genocide|terroris\w+|massacre|school shoot\w+)\b|\bwrong election day|\bdeep ?fakes? (?:of|video)|\bcures? cancer\b|\brumou?r that a celebrity",
    ],
    "hate": [
        r"\b(?:jokes?|insults?|slurs?|speech|pamphlet|poem|song|essay|article|post|manifesto|campaign|message)s? .{0,50}(?:makes? fun of|mock|against|belittl|inciting|promoting hat|incit|for gay|about) (?:\w+ ){0,2}?(?:immigrants?|women|gays?|gay people|jews?|muslims?|blacks?|black people|religion|foreigners|minorit\w+|disabled|trans\w*|race|refugees|hatred|ethnic)",
        r"\b(?:one|a|certain|our|white|their) (?:race|religion|gender|ethnicit\w+|people) (?:is|are|should be) .{0,30}(?:superior|inferior|better|worth less|thrown out)|\bhate (?:group|crime|speech)s?\b|\bdisabled people are worth|\b(?:white|racial|male) supremac\w+|\bracist|\bsexist|\bhomophobic|\bthat religion to be thrown out|\bspeech calling for people",
    ],
}

# What no context excuses.
ALWAYS = {
    "hate": [  # a loaded question is hateful though it asks for no means
        r"\b(?:why (?:are|do|don't|can't|is)|aren't|are|isn't|don't|do) (?:all |most |the )?(?:women|men|girls|jews?|jewish|muslims?|christians?|hindus?|blacks?|black people|whites?|white people|asians?|gays?|lesbians?|homosexuals?|immigrants|foreigners|refugees|disabled|poor people|old people|the elderly|"
        r"fat people|thin people|skinny|transgender|mexicans?|africans?|americans?|chinese|japanese|indians?|arabs?|people (?:from|of|with)|person from|middle eastern|caucasian|multiracial|catholics?|atheists?) .{0,40}(?:stupid|lazy|dirty|bad at|overreact|misbehav|unproductive|inefficient|can't be trusted|untrustworthy|violent|inferior|unintelligent|ugly|greedy|"
        r"criminals?|terrorists?|intolerant|control everything|evil|dangerous|rude|promiscuous|backward|dumb|weak|liars?|dishonest|vain|disgusting|uneducated|aggressive|irrational|emotional|thieves|steal|fewer rights|not deserve|worth(?:less| less))",
    ],
    "self_harm": [
        r"\b(?:kill(?:ing)?|hang(?:ing)?|hurt(?:ing)?|harm(?:ing)?|cut(?:ting)?|starve|starving) (?:my|our)sel(?:f|ves)\b(?! (?:hair|a|an|some|off|out|short|less|when))",
        r"\b(?:end(?:ing)?|take|taking) my (?:own )?life\b|\bcommit(?:ting)? suicide\b|\bsuicide (?:note|method)|\bi(?: a|')m (?:feeling )?suicidal|\bfeeling suicidal|\bself-harm scars\b",
        r"\bi (?:do not|don't|no longer) want to (?:live|be alive|exist)|\bi want to die\b|\bpills (?:\w+ ){0,3}?(?:to )?(?:die|kill|overdose)\b|\b(?:how|want) (?:\w+ ){0,2}?to (?:die|overdose|bleed to death)\b|\bhow do i (?:die|overdose|bleed to death)\b(?! (?:a|an|the|my|less|in)\b)|\bmake (?:myself|me) (?:vomit|throw up|sick)\b|\bthrow up after\b",
    ],
    "sexual": [
        r"\b(?:nude|naked|sexual(?:ly explicit)?|porn\w*|erotic|explicit) .{0,40}\b(?:child(?:ren)?|minors?|teen\w*|underage|kids?|girls?|boys?|toddlers?)\b|\bchild (?:porn\w*|sexual)|\b(?:child|minor|underage) .{0,30}\b(?:sex|nude|porn)",
    ],
}

EXCUSES = {
    "defence": (
        r"\b(?:prevent\w*|protect\w*|defend\w*|defen[cs]e|detect (?:a|fraud|fake|phishing|spyware|malware)|recogni[sz]e\w*|spot (?:a|the|fake|phishing)|reports? (?:a|an|harassment|crime|abuse|bullying|it|him|her)|stop (?:being|people|my child|someone from)|against (?:ddos|"
        r"malware|viruses|fraud|phishing|theft|hackers)|deal(?:ing)? with|cope with|recover(?:ing|y)?|prevention|awareness|hotline|support for|victims? of|was (?:stolen|hacked|scammed|bullied|attacked|used by)|being (?:bullied|stalked|harassed|blackmailed)|"
        r"got (?:hacked|scammed)|treat(?:ment)?|safely (?:store|dispose|remove)|reduce|combat(?:ing)?|get rid of|answer a)\b"
    ),
    "facts": (
        r"^(?:what (?:is|are|does|was|were) (?!the (?:best|easiest|quickest|least|most|fastest|safest|cheapest|weakest))(?!my|your|some|a good|good|ways)(?:\w+ ){0,3}?\w+\??$|who (?:was|were|is|assassinated|killed|wrote|invented)|when (?:was|were|did|is)|where (?:was|did|were)|how did|"
        r"why (?:did|was|were)|which|what (?:punishment|year|happened|caused))|\b(?:difference between|differs? from|definition|meaning|mean\?|history of|museum|laws?|legislation|legally|penalt(?:y|ies)|punishment|sentence for|century|ancient|world war|explained to)\b"
    ),
    "fiction": (
        r"\b(?:in|for|of) (?:a|an|my|the) (?:[\w-]+ ){0,3}?(?:games?|video game|novel|movie|film|play|comic|board game|role-playing game|costume party|theatre|musical|sketch)\b|\bminecraft\b|\bmystery\b|\b(?:final boss|level|monster|zombie|dragon|goblin|vampire|alien|wizard|orc|robot)s?\b|\bfantasy (?:book|novel|world|kingdom)"
    ),
    "machine": (
        r"\b(?:(?:child|zombie|stuck|background|hanging|unix|linux|python|node)[ -]?process(?:es)?|process(?:es)?|threads?|containers?|docker|jobs?|terminal|port|servers? (?:process|instance)|instances?|pods?|daemons?|scripts? that hangs?|session|weeds?|mou?ld|germs|bacteria|mosquito(?:e?s)?|ants|fleas|insects|lice|"
        r"time|lights?|engine|motor|switch|eggs?|cream|walnuts?|drums?|record|traffic|odds|market average|headphones|basketball|penalty|goal|base|bargain|show|scene)\b(?!.{0,60}\b(?:steal|hack|malware|attack|bomb)\w*\b)"
    ),
}

STEPS = r"^[^\S\n]*step [1１①][.):、 ]|\bstep (?:1|one)\b|\bfirst(?:ly)?,"

WORD = "[a-z0-9']+"
# With the stems that the stemmer makes of these words.
FORM_WORDS = """
^ $ a an the and or of to in on at for with by from as is are was were be been do does did can could should would will may might i you
it we they he she my your his her their its our me us them this that these those there what which who whom when where why how please
help tell show give write create creat make develop design describe describ explain outline outlin provide provid list suggest generate
generat compose compos draft produce produc share find name idea ideas way ways tip tips step steps guide guid tutorial tutori
instructions instruct advice advic strategy strategi plan story stori poem essay article articl letter post blog speech song script
program best good easiest quickest some any all not no so if then than about into up out need want like get use using
"""
FORM = frozenset(FORM_WORDS.split())
OVER_REFUSAL = 0.0075

STREET = r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Terrace)\b\.?"
PERSONAL = [
    ("private.ssn", r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])", None),
    ("private.phone", r"(?<![\d.-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-.]\d{4}(?![\d-])", None),
    (
        "private.address",
        rf"\b\d{{1,5}} (?:[A-Z][a-z]+ ){{1,3}}{STREET}(?:, [A-Z][A-Za-z ]{{2,30}})?(?:,? [A-Z]{{2}} \d{{5}})?",
        None,
    ),
]
PASSPORT = "passport"
WAY = r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Sq|Terrace|Way|Close|Crescent|Place|Pl|Parkway|Pkwy|Highway|Hwy|Row|Gardens|Mews|Circle|Trail)"
NOT_LEARNT = [
    ("private.phone", r"(?<![\d.-])(?:\+?1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\d-])", None),
    ("private.phone", r"(?<![\d.-])0\d{3,4}[ -]\d{3}[ -]?\d{3,4}(?![\d-])", None),  # United Kingdom
    (
        "private.phone",
        r"(?i:\b(?:phone|telephone|tel|mobile|cell|fax|whatsapp|call|text|ring)\b)[^\d\n+(]{0,20}(?P<number>[+(]?\d[\d ()./-]{5,18}\d)(?!\d)",
        lambda match: 7 <= sum(sign.isdigit() for sign in match["number"]) <= 15,
    ),
    (
        "private.account",
        r"(?i:\b(?:account|acct|a/c|sort code|iban)\b)(?i:\.? ?(?:no|number|num|#))?[^\d\n]{0,8}(?P<number>\d(?:[ -]?\d){5,17})(?!\d)",
        None,
    ),
    (
        "private.address",
        rf"\b\d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,4}})?,? (?:[A-Z][\w'.]{{0,20}} ){{1,4}}{WAY}\b\.?(?:,? (?:Apt|Suite|Unit|Flat)\.? ?#?\w{{1,5}})?",
        None,
    ),
    ("private.address", r"\b\d{1,5} (?:[a-z]{2,20} ){1,3}(?:street|avenue|boulevard)\b", None),
    ("private.address", r"\b[Pp]\.? ?[Oo]\.? ?[Bb]ox \d{1,6}\b", None),
    ("private.address", r"\b[A-Z]{2},? \d{5}(?:-\d{4})?\b", None),
    ("private.address", r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b", None),
]
SECRET = (
    r"\b(?:pass ?word|pass ?phrase|passwd|pass ?code|pwd|pin(?: code)?|api[ _-]?key|secret(?:[ _-]?(?:access[ _-]?)?key)?|(?:access|auth|refresh|api|bearer)[ _-]?token|token|"
    r"access[ _-]?key(?:[ _-]?id)?|private[ _-]?key|client[ _-]?secret|credentials?|recovery code|one-time code)\b"
)
SECRET_IS = r"\b(?:is|was)\b"
VERSION = r"\bv|version|release"
HEALTH = (
    r"(?i:\b(?:diagnos(?:ed|is)|cancer|tumou?rs?|chemo(?:therapy)?|leuk(?:a)?emia|lymphoma|diabet(?:es|ic)|insulin|asthma(?:tic)?|epilep(?:sy|tic)|hiv|hepatitis|tuberculosis|"
    r"depression|(?:clinically|severely) depressed|antidepressants?|anxiety (?:disorder|attacks?)|panic attacks?|bipolar|schizophreni\w{1,3}|autis(?:m|tic)|adhd|ptsd|dementia|alzheimer(?:'s)?|"
    r"parkinson'?s|multiple sclerosis|arthritis|migraines?|pregnan(?:t|cy|cies)|miscarriage|abortion|infertil(?:e|ity)|ivf|surgery|biopsy|prozac|xanax|ritalin|metformin|"
    r"psychiatr(?:ist|ic|y)|psychotherap(?:y|ist)|therapist|overdosed?|suicidal|self-harm|eating disorder|anorexi[ac]|bulimi[ac]|blood (?:pressure|sugar)|cholesterol|"
    r"heart (?:attack|disease|failure|condition)|had a stroke|dialysis|transplant|allerg(?:y|ic|ies)|medications?|prescri(?:bed|ption)|hospitali[sz]ed|in (?:the )?hospital|"
    r"(?:my|his|her|their) (?:symptoms?|illness|disease|disability|doctor|condition)|disabilit(?:y|ies)|chronic(?:ally)? (?:ill|pain|fatigue|disease)|mental (?:illness|health)|"
    r"broken (?:leg|arm|hip)|covid|vaccinated|blood type)\b)|\bAIDS\b"
)
PLACEHOLDERS = {
    "private": "[personal data]",
    "private.email": "[email]",
    "private.card": "[card number]",
    "private.my_number": "[My Number]",
    "private.ssn": "[social security number]",
    "private.account": "[account number]",
    "private.passport": "[passport number]",
    "private.phone": "[phone number]",
    "private.address": "[address]",
    "private.secret": "[secret]",
    "private.machine": "[network address]",
}

EARLIER = (
    r"(?:all |any |the |your |my |these |those |of |and |previous |prior |above |earlier |preceding |initial |original |system |safety )*"
)
ORDERS = {
    "injection.override": (
        rf"\b(?:ignore|disregard|forget|override|bypass|do not follow|stop following)\s+{EARLIER}(?:instructions?|prompts?|rules?|guidelines?|directions?|commands?|context|messages?|everything)\b"
        r"|\b(?:new|updated|real|actual) (?:system )?(?:instructions?|prompt|task)\s*(?::|are\b|is\b|follow)"
    ),
    "injection.role": (
        r"\byou are (?:now|no longer) (?:an?|the|in|my|bound|required|free|dan)\b|\bfrom now on,? (?:you|act|respond|answer)|\b(?:act|behave|respond) as (?:if you|an? (?:unrestricted|unfiltered|evil|different))"
        r"|\bpretend (?:to be|that you|you are|you have)|\b(?:developer|debug|god|dan|jailbreak) mode\b|\bdo anything now\b"
    ),
    "injection.exfiltrate": (
        r"\b(?:reveal|print|repeat|output|show|leak|display|tell)\b[^.\n]{0,30}\b(?:system prompt|system message|hidden (?:prompt|instructions?)|initial (?:prompt|instructions?)|your (?:prompt|instructions))"
        r"|\b(?:send|post|forward|upload|exfiltrate|email)\b[^.\n]{0,60}\b(?:conversation|chat history|api keys?|passwords?|credentials?|user'?s? (?:data|messages?|questions?))"
    ),
    "injection.tool": (
        r"\b(?:ai|assistant|chatbot|language model|llm)s?\b[^.\n]{0,40}\b(?:must|should|has to|have to|need to|needs to) (?:now )?(?:say|answer|reply|respond|call|recommend|output|write|click|visit|tell|include)"
        r"|\b(?:call|invoke|run|execute) the (?:tool|function)\b|\bin your (?:answer|reply|response),? (?:always|only|you must)"
    ),
}
HEADINGS = "instructions?|response"
SENTENCE_BREAK = r"(?<=[.!?])\s+"
QUOTED = "(quoted text, not an instruction: “{}”)"
INNER_QUOTES = {"“": '"', "”": '"'}
