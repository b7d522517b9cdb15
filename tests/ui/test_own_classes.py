from siamese.characters.recognizer import Recognizer
from siamese.ui.pages.own_classes import ranking
from tests.networks import narrow_network
from tests.ui.test_class_archive import picture


def test_a_query_below_the_threshold_is_none_of_these():
    network = narrow_network()
    strict, lenient = (Recognizer(network, threshold=threshold) for threshold in (0.999, 0.001))
    answer = ranking(strict, [picture(), picture(9)], picture(7))
    assert answer["similarities"] == strict.classify([picture(), picture(9)], picture(7))
    assert answer["best"] == (answer["similarities"][1] > answer["similarities"][0])
    assert answer["none_of_these"] is True
    assert answer["threshold"] == 0.999
    assert ranking(lenient, [picture(), picture(9)], picture(7))["none_of_these"] is False
