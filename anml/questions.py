"""What the paper and its released code disagree on: the questions as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One way to meta-test."""

    treatment: str
    optimizer: str = "adam"
    drawings_split: str = "shuffled"
    extra_class: bool = False  # 660 classes: the 964th background class is one of them
    stored_order: bool = False  # classes come alphabet by alphabet, as the data set stores them


@dataclass(frozen=True)
class Question:
    """What the paper and its code do differently; the first answer is what others are compared to.

    `paper` and `code`: what each of them does; `here`: what the experiment does, where that needs
    saying. `answers`: label to setting.
    """

    id: str
    title: str
    paper: str
    code: str
    answers: dict[str, Setting]
    here: str = ""

    def settings(self) -> list[Setting]:
        """The settings of the answers, in their order."""
        return list(self.answers.values())


_PIXELS_PAPER = "Says that drawings are 28 x 28, but not on what scale their pixels are."
_PIXELS_CODE = (
    "Subtracts a mean from the grey values and divides by a deviation multiplied by 256 twice: "
    "white paper is 0.003 and ink -0.043. OML's own code and one replication of ANML use the grey "
    "values as they are: white paper is 1 and ink 0."
)
_PIXELS_HERE = (
    "The same scale in meta-training and at meta-test, each with the rates of OML that were "
    "searched for with ink 1. ANML, whose norm takes such changes away, is left out; Pretrain & "
    "Transfer and Scratch, which have OML's network, were not tried."
)

QUESTIONS = (
    Question(
        "order-anml",
        "ANML: second or first order?",
        "Differentiates the meta-loss through the 20 SGD steps: a second-order meta-gradient.",
        "Drops the graph of the inner loop, so that its meta-gradient is first order.",
        {
            "second order (paper)": Setting("ANML"),
            "first order (code)": Setting("ANML (first order)"),
        },
    ),
    Question(
        "order-oml",
        "OML: second or first order?",
        "Compares with OML as published, which is described as second order.",
        "OML's code dropped the graph too; its author reports much better results with it kept.",
        {
            "second order (paper)": Setting("OML"),
            "first order (code)": Setting("OML (first order)"),
        },
    ),
    Question(
        "redraw",
        "Is the redrawn row kept?",
        "Draws the class's row of the head anew before the inner loop, in the copy that it adapts; "
        "the initial weights keep the row that was learned.",
        "Draws it anew in the initial weights themselves, as both replications do: what had been "
        "learned of that class's row is gone for good.",
        {
            "in the copy (paper)": Setting("ANML"),
            "kept (code)": Setting("ANML (redraw kept)"),
        },
        "At the profile's length and width. Figure 3's page has it for all models recorded, and "
        "the page about how much meta-training for further lengths and at the paper's width.",
    ),
    Question(
        "released-anml",
        "ANML: the code's choices all at once?",
        "Is second order, redraws the row in the copy, shows one channel and leaves open which "
        "drawings are learned. Here it is followed in these four points.",
        "Is first order, keeps the redrawn row, shows three copies of a drawing and learns from "
        "writers 1 to 15. As here, it uses Adam and normalises each image by itself; it draws from "
        "650 classes, here from 659.",
        {
            "as here": Setting("ANML"),
            "as the code": Setting("ANML (as released)", drawings_split="first"),
        },
        "What each choice is worth by itself stands under its own question; they need not add up. "
        "The order of classes is as here in both.",
    ),
    Question(
        "released-oml",
        "OML: the code's choices all at once?",
        "Is followed here in the same four points as for ANML.",
        "Is first order and keeps redrawn rows, as OML's own code, from which it grew; it "
        "shows OML the same three copies and meta-tests it on the same drawings as ANML, writers 1 "
        "to 15 for learning.",
        {
            "as here": Setting("OML"),
            "as the code": Setting("OML (as released)", drawings_split="first"),
        },
        "With the rates of OML that were searched for here; the code's are not published. Pixels "
        "and the order of classes are as here in both.",
    ),
    Question(
        "optimizer",
        "Adam or SGD at meta-test?",
        "Writes SGD (Algorithm 2).",
        "Uses Adam, as both replications do; very probably it made the published numbers.",
        {"Adam (code)": Setting("ANML"), "SGD (paper)": Setting("ANML", optimizer="sgd")},
        "Each optimiser has rates of its own to choose from. What larger ones than those of the "
        "profile paper give with Adam stands on the page about how much meta-training.",
    ),
    Question(
        "norm",
        "Normalise each image, or the batch?",
        "Says batch norm.",
        "Passes one drawing at a time with that batch's own statistics, and so normalises each "
        "image by itself.",
        {"per image (code)": Setting("ANML"), "batch (paper)": Setting("ANML (batch norm)")},
        "The second normalises the 84 drawings of the meta-loss together, with their own "
        "statistics. The inner loop and meta-test have one drawing at a time, so that there "
        "batch and image are the same.",
    ),
    Question(
        "channels",
        "One channel, or three equal ones?",
        "Has drawings of one channel.",
        "Shows three copies of the drawing. Its first convolutions have a kernel for each, and "
        "only their sum counts. The sum starts as random as one kernel would; but since each of "
        "the three makes a full step, it moves three times as far.",
        {"one (paper)": Setting("ANML"), "three (code)": Setting("ANML (three channels)")},
        "The second meta-trains with that sum, which moves three times as far: the prediction "
        "network's in the inner loop, and those of both networks in Adam's outer step. At "
        "meta-test no convolution of ANML learns.",
    ),
    Question(
        "classes",
        "659 or 660 classes to meta-test on?",
        "Counts 963 classes for meta-training and 660 for meta-testing.",
        "Meta-trains on the first 963 background classes and meta-tests on evaluation classes, of "
        "which there are 659; it draws from the first 650 of them.",
        {"659 (code)": Setting("ANML"), "660 (paper)": Setting("ANML", extra_class=True)},
        "The 660th is the 964th background class, which is in neither split of the code.",
    ),
    Question(
        "class-order",
        "In which order do classes come?",
        "Learns the classes of a trajectory in random order.",
        "Draws which classes a trajectory has; it learns them in the order of the data set, "
        "alphabet by alphabet, since the function that would sort them returns them as they are.",
        {
            "in random order (here)": Setting("ANML"),
            "as stored (code)": Setting("ANML", stored_order=True),
        },
        "The same classes and drawings in both orders. Folders are taken by name; the code takes "
        "them as the file system lists them, whole alphabets all the same.",
    ),
    Question(
        "drawings",
        "Which 15 drawings of a class are learned?",
        "Says 15 for training and 5 held out, and not which.",
        "Always learns from the first 15 files that a class's folder lists, writers 1 to 15 where "
        "it lists them by name, and tests on the other five; one replication shuffles them for "
        "every class.",
        {
            "shuffled (here)": Setting("ANML"),
            "writers 1 to 15 (code)": Setting("ANML", drawings_split="first"),
        },
    ),
    Question(
        "pixels-oml",
        "OML: on what scale are pixels?",
        _PIXELS_PAPER,
        _PIXELS_CODE,
        {
            "ink 1, paper 0 (here)": Setting("OML"),
            "as the code": Setting("OML (released pixels)"),
            "ink 0, paper 1": Setting("OML (white paper)"),
        },
        _PIXELS_HERE,
    ),
    Question(
        "pixels-olft",
        "OML-OLFT: on what scale are pixels?",
        _PIXELS_PAPER,
        _PIXELS_CODE,
        {
            "ink 1, paper 0 (here)": Setting("OML-OLFT"),
            "as the code": Setting("OML-OLFT (released pixels)"),
            "ink 0, paper 1": Setting("OML-OLFT (white paper)"),
        },
        _PIXELS_HERE,
    ),
    Question(
        "linear",
        "Does OML need two linear layers?",
        "Gives OML a prediction network of two linear layers, all of it plastic.",
        "Does the same. OML's author found later that with a single linear layer OML, trained "
        "to second order, matches ANML without neuromodulation.",
        {
            "OML, linear PLN": Setting("OML (linear PLN)"),
            "OML": Setting("OML"),
            "OML-OLFT": Setting("OML-OLFT"),
            "ANML": Setting("ANML"),
        },
        "At OML's rates, which were searched for two layers; one may want others.",
    ),
)
