"""The papers and programs that studies of bakeoff cite, as they were published.

Names and titles are LaTeX already. One that is not here is cited as far as the method's own code
states it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Work:
    """A published work.

    Attributes:
        author: all authors, ``and`` between. title, year: of the publication.
        venue: the journal, or the proceedings; None of a program.
        kind: of BibTeX entry. arxiv: its number there. doi, url: likewise where it is.
    """

    author: str
    title: str
    year: str
    venue: str | None = None
    kind: str = "misc"
    arxiv: str | None = None
    doi: str | None = None
    url: str | None = None


def _paper(author: str, title: str, year: int, venue: str, arxiv: str | None = None) -> Work:
    return Work(
        author=author, title=title, year=str(year), venue=venue, kind="inproceedings", arxiv=arxiv
    )


def _article(author: str, title: str, year: int, venue: str, doi: str | None = None) -> Work:
    return Work(author=author, title=title, year=str(year), venue=venue, kind="article", doi=doi)


def _preprint(author: str, title: str, year: int, arxiv: str) -> Work:
    return Work(author=author, title=title, year=str(year), arxiv=arxiv)


def _program(author: str, title: str, year: int, url: str) -> Work:
    return Work(author=author, title=title, year=str(year), url=url)


METHODS: Final = {
    "2106.09685": _paper(
        "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi "
        "and Wang, Shean and Wang, Lu and Chen, Weizhu",
        "LoRA: Low-Rank Adaptation of Large Language Models",
        2022,
        "International Conference on Learning Representations",
        "2106.09685",
    ),
    "2402.09353": _paper(
        "Liu, Shih-Yang and Wang, Chien-Yi and Yin, Hongxu and Molchanov, Pavlo and "
        "Wang, Yu-Chiang Frank and Cheng, Kwang-Ting and Chen, Min-Hung",
        "DoRA: Weight-Decomposed Low-Rank Adaptation",
        2024,
        "International Conference on Machine Learning",
        "2402.09353",
    ),
    "2106.10199": _paper(
        "Ben Zaken, Elad and Goldberg, Yoav and Ravfogel, Shauli",
        "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked "
        "Language-models",
        2022,
        "Annual Meeting of the Association for Computational Linguistics",
        "2106.10199",
    ),
    "1801.06146": _paper(
        "Howard, Jeremy and Ruder, Sebastian",
        "Universal Language Model Fine-tuning for Text Classification",
        2018,
        "Annual Meeting of the Association for Computational Linguistics",
        "1801.06146",
    ),
    "2205.05638": _paper(
        "Liu, Haokun and Tam, Derek and Muqeeth, Mohammed and Mohta, Jay and Huang, Tenghao and "
        "Bansal, Mohit and Raffel, Colin",
        "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
        2022,
        "Advances in Neural Information Processing Systems",
        "2205.05638",
    ),
    "2104.08691": _paper(
        "Lester, Brian and Al-Rfou, Rami and Constant, Noah",
        "The Power of Scale for Parameter-Efficient Prompt Tuning",
        2021,
        "Conference on Empirical Methods in Natural Language Processing",
        "2104.08691",
    ),
    "2103.10385": _preprint(
        "Liu, Xiao and Zheng, Yanan and Du, Zhengxiao and Ding, Ming and Qian, Yujie and "
        "Yang, Zhilin and Tang, Jie",
        "GPT Understands, Too",
        2021,
        "2103.10385",
    ),
    "1902.00751": _paper(
        "Houlsby, Neil and Giurgiu, Andrei and Jastrzebski, Stanislaw and Morrone, Bruna and "
        "de Laroussilhe, Quentin and Gesmundo, Andrea and Attariyan, Mona and Gelly, Sylvain",
        "Parameter-Efficient Transfer Learning for NLP",
        2019,
        "International Conference on Machine Learning",
        "1902.00751",
    ),
    "2005.00247": _paper(
        r"Pfeiffer, Jonas and Kamath, Aishwarya and R{\"u}ckl{\'e}, Andreas and Cho, Kyunghyun "
        "and Gurevych, Iryna",
        "AdapterFusion: Non-Destructive Task Composition for Transfer Learning",
        2021,
        "Conference of the European Chapter of the Association for Computational Linguistics",
        "2005.00247",
    ),
    "2110.04366": _paper(
        "He, Junxian and Zhou, Chunting and Ma, Xuezhe and Berg-Kirkpatrick, Taylor and "
        "Neubig, Graham",
        "Towards a Unified View of Parameter-Efficient Transfer Learning",
        2022,
        "International Conference on Learning Representations",
        "2110.04366",
    ),
    "2101.00190": _paper(
        "Li, Xiang Lisa and Liang, Percy",
        "Prefix-Tuning: Optimizing Continuous Prompts for Generation",
        2021,
        "Annual Meeting of the Association for Computational Linguistics",
        "2101.00190",
    ),
}
"""By their number at arXiv, as ``MethodSpec.paper`` names them."""

PEFT: Final = _program(
    "Mangrulkar, Sourab and Gugger, Sylvain and Debut, Lysandre and Belkada, Younes and "
    "Paul, Sayak and Bossan, Benjamin",
    "PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods",
    2022,
    "https://github.com/huggingface/peft",
)

METRICS: Final = {
    "Lin 2004": _paper(
        "Lin, Chin-Yew",
        "ROUGE: A Package for Automatic Evaluation of Summaries",
        2004,
        "Text Summarization Branches Out",
    ),
    "Rajpurkar 2018": _paper(
        "Rajpurkar, Pranav and Jia, Robin and Liang, Percy",
        "Know What You Don't Know: Unanswerable Questions for SQuAD",
        2018,
        "Annual Meeting of the Association for Computational Linguistics",
        "1806.03822",
    ),
    "Post 2018": _paper(
        "Post, Matt",
        "A Call for Clarity in Reporting BLEU Scores",
        2018,
        "Conference on Machine Translation",
        "1804.08771",
    ),
    "Popovic 2015": _paper(
        r"Popovi{\'c}, Maja",
        "chrF: character n-gram F-score for automatic MT evaluation",
        2015,
        "Workshop on Statistical Machine Translation",
    ),
    "Gorodkin 2004": _article(
        "Gorodkin, Jan",
        "Comparing two K-category assignments by a K-category correlation coefficient",
        2004,
        "Computational Biology and Chemistry",
    ),
    "Opitz 2019": _preprint(
        "Opitz, Juri and Burst, Sebastian", "Macro F1 and Macro F1", 2019, "1911.03347"
    ),
    "Brier 1950": _article(
        "Brier, Glenn W.",
        "Verification of forecasts expressed in terms of probability",
        1950,
        "Monthly Weather Review",
    ),
    "Gao 2021": _program(
        "Gao, Leo and Tow, Jonathan and Biderman, Stella and Black, Sid and DiPofi, Anthony and "
        "Foster, Charles and Golding, Laurence and Hsu, Jeffrey and McDonell, Kyle and "
        "Muennighoff, Niklas and others",
        "A framework for few-shot language model evaluation",
        2021,
        "https://github.com/EleutherAI/lm-evaluation-harness",
    ),
}

TESTS: Final = {
    "Satterthwaite 1946": _article(
        "Satterthwaite, F. E.",
        "An Approximate Distribution of Estimates of Variance Components",
        1946,
        "Biometrics Bulletin",
    ),
    "Holm 1979": _article(
        "Holm, Sture",
        "A Simple Sequentially Rejective Multiple Test Procedure",
        1979,
        "Scandinavian Journal of Statistics",
    ),
    "Schuirmann 1987": _article(
        "Schuirmann, Donald J.",
        "A comparison of the two one-sided tests procedure and the power approach for assessing "
        "the equivalence of average bioavailability",
        1987,
        "Journal of Pharmacokinetics and Biopharmaceutics",
    ),
    "Smyth 2004": _article(
        "Smyth, Gordon K.",
        "Linear models and empirical Bayes methods for assessing differential expression in "
        "microarray experiments",
        2004,
        "Statistical Applications in Genetics and Molecular Biology",
    ),
    "Li 2020": _paper(
        "Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and "
        "Ben-tzur, Jonathan and Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet",
        "A System for Massively Parallel Hyperparameter Tuning",
        2020,
        "Conference on Machine Learning and Systems",
        "1810.05934",
    ),
    "Bergstra 2012": _article(
        "Bergstra, James and Bengio, Yoshua",
        "Random Search for Hyper-Parameter Optimization",
        2012,
        "Journal of Machine Learning Research",
    ),
}

SOFTWARE: Final = {
    "torch": _paper(
        "Paszke, Adam and Gross, Sam and Massa, Francisco and Lerer, Adam and Bradbury, James and "
        "Chanan, Gregory and others",
        "PyTorch: An Imperative Style, High-Performance Deep Learning Library",
        2019,
        "Advances in Neural Information Processing Systems",
        "1912.01703",
    ),
    "transformers": _paper(
        "Wolf, Thomas and Debut, Lysandre and Sanh, Victor and Chaumond, Julien and "
        "Delangue, Clement and Moi, Anthony and others",
        "Transformers: State-of-the-Art Natural Language Processing",
        2020,
        "Conference on Empirical Methods in Natural Language Processing: System Demonstrations",
        "1910.03771",
    ),
    "peft": PEFT,
}
