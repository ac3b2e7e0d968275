"""Invented phenopackets for tests."""

import copy
import json

PACKET = {
    "id": "case-1",
    "subject": {
        "id": "A",
        "sex": "FEMALE",
        "timeAtLastEncounter": {"age": {"iso8601duration": "P4Y2M"}},
    },
    "phenotypicFeatures": [
        {"type": {"id": "HP:0001250", "label": "Seizure"}},
        {"type": {"id": "HP:0001263", "label": "Global developmental delay"}, "excluded": False},
        {"type": {"id": "HP:0000252", "label": "Microcephaly"}, "excluded": True},
    ],
    "interpretations": [
        {
            "id": "i",
            "progressStatus": "SOLVED",
            "diagnosis": {
                "disease": {"id": "OMIM:900001", "label": "Amber-Bole syndrome"},
                "genomicInterpretations": [
                    {
                        "variantInterpretation": {
                            "variationDescriptor": {
                                "id": "var_x",
                                "label": "gain of 1q99",
                                "geneContext": {"valueId": "HGNC:0", "symbol": "GENA"},
                                "expressions": [
                                    {"syntax": "hgvs.c", "value": "NM_000000.1:c.10C>T"}
                                ],
                            }
                        }
                    }
                ],
            },
        }
    ],
    "metaData": {
        "externalReferences": [{"id": "PMID:111"}, {"id": "DOI:10.1/x"}, {"id": "pmid: 0022"}],
        "phenopacketSchemaVersion": "2.0.2",
    },
}


def packet(**changes):
    """The example with top-level fields replaced; None removes a field."""
    made = {**copy.deepcopy(PACKET), **changes}
    return {key: value for key, value in made.items() if value is not None}


def encode(made):
    return json.dumps(made).encode()


def features(*pairs):
    """(HP id, excluded) -> phenotypicFeatures."""
    return [{"type": {"id": term}, "excluded": absent} for term, absent in pairs]
