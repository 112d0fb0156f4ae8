"""The label inventories that the metrics need, in the order of the KLUE baseline (not the Hub's)."""

NLI_LABELS = ("entailment", "contradiction", "neutral")

YNAT_LABELS = ("정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠")

# Person, place, organization, date, time, quantity; O is outside of all.
NER_TAGS = tuple("B-PS I-PS B-LC I-LC B-OG I-OG B-DT I-DT B-TI I-TI B-QT I-QT O".split())

NO_RELATION = "no_relation"
# The order of relation_list.json, hence of the 30 probabilities of a prediction.
RELATIONS = (
    NO_RELATION,
    "org:dissolved",
    "org:founded",
    "org:place_of_headquarters",
    "org:alternate_names",
    "org:member_of",
    "org:members",
    "org:political/religious_affiliation",
    "org:product",
    "org:founded_by",
    "org:top_members/employees",
    "org:number_of_employees/members",
    "per:date_of_birth",
    "per:date_of_death",
    "per:place_of_birth",
    "per:place_of_death",
    "per:place_of_residence",
    "per:origin",
    "per:employee_of",
    "per:schools_attended",
    "per:alternate_names",
    "per:parents",
    "per:children",
    "per:siblings",
    "per:spouse",
    "per:other_family",
    "per:colleagues",
    "per:product",
    "per:religion",
    "per:title",
)

# NP_SVJ is a typing error of the benchmark, and a label of its own there.
DEPRELS = tuple(
    (
        "NP NP_AJT VP NP_SBJ VP_MOD NP_OBJ AP NP_CNJ NP_MOD VNP DP VP_AJT VNP_MOD NP_CMP VP_SBJ "
        "VP_CMP VP_OBJ VNP_CMP AP_MOD X_AJT VP_CNJ VNP_AJT IP X X_SBJ VNP_OBJ VNP_SBJ X_OBJ AP_AJT "
        "L X_MOD X_CNJ VNP_CNJ X_CMP AP_CMP AP_SBJ R NP_SVJ"
    ).split()
)
