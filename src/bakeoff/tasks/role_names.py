"""Words by which columns are called, in several languages; contents count more.

Without accents and in small letters, as ``Column.names`` has them.
"""

from __future__ import annotations

from typing import Final

from bakeoff.data.columns import Column


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LABEL: Final = _words(
    """label labels class klass sentiment target y polarity emotion intent stars star rating score
    gold toxic toxicity spam stance klasse stimmung bewertung absicht etiqueta clase sentimiento
    etiquette classe etichetta classificazione rotulo klasa etykieta метка класс тональность
    标签 类别 情感 ラベル 分類
    레이블 sterne note estrellas etoiles stelle sterren"""
)
WEAK_LABEL: Final = _words(
    """category categories kind type topic genre tag section department priority answer verdict
    language lang kategorie art typ thema abteilung sprache dringlichkeit categoria tipo tema
    categorie genero kategoria категория тип тема 主题 分类 カテゴリ 카테고리"""
)
NUMBER: Final = LABEL | _words(
    """grade similarity relatedness value price quality note nota punteggio puntuacion puntaje
    prix preis wert ahnlichkeit similitude prijs waarde cena оценка цена 评分 分数 価格 スコア
    점수"""
)
SUMMARY: Final = _words(
    """summary summaries highlights highlight abstract tldr tl_dr gist digest zusammenfassung
    kurzfassung resumen resume sommaire riassunto sintesi resumo samenvatting streszczenie аннотация
    реферат 摘要 总结 要約 요약"""
)
TITLE: Final = _words(
    """title headline heading subject subject_line titel uberschrift schlagzeile betreff titulo
    titular asunto titre objet titolo oggetto assunto onderwerp kop tytul заголовок тема 标题 題名
    タイトル 제목"""
)
DOCUMENT: Final = _words(
    """document article text body dialogue dialog email_body content transcript report story post
    passage dokument artikel beitrag inhalt nachricht gesprach documento articulo texto cuerpo
    contenido article texte corps contenu articolo testo artigo tekst документ статья текст 文章
    正文 本文 文書 본문 문서"""
)
QUESTION: Final = _words(
    """question query problem frage anfrage aufgabe pregunta problema domanda pergunta vraag pytanie
    вопрос 问题 質問 질문"""
)
INPUT: Final = QUESTION | _words(
    """prompt input context contexts tools passage instruction source src premise hint schema
    document eingabe kontext quelle anweisung contexto entrada instruccion contexte entree contesto
    вход контекст 提示 输入 上下文"""
)
ANSWER: Final = _words(
    """completion answer answers response output reply target solution tgt chosen translation
    rewrite correction corrected paraphrase simplified sql code antwort ausgabe losung ubersetzung
    korrektur respuesta salida solucion traduccion reponse sortie traduction risposta soluzione
    traduzione resposta saida traducao antwoord odpowiedz ответ перевод решение 答案 回答 输出
    译文 翻訳 답변 번역"""
)
CHOICE: Final = ANSWER | _words(
    """choice choices option options opt op ending endings sol solutions alternative candidate
    distractor auswahl wahl alternativa opcion opcao opzione scelta choix optie keuze opcja wybor
    вариант выбор 选项 選択肢 선택지 보기"""
)
EXPLANATION: Final = _words(
    """explanation explanations rationale rationales justification justifications reasoning
    chain_of_thought chainofthought cot begrundung erklarung explicacion razonamiento justificacion
    explication raisonnement spiegazione ragionamento giustificazione explicacao raciocinio
    justificativa uitleg toelichting redenering wyjasnienie uzasadnienie объяснение обоснование
    解释 推理 根拠 推論"""
)
"""Not a comment, evidence or a thought, which are often what is read."""
REASON: Final = _words("reason reasons grund razon raison motivo reden причина 理由 이유")
"""An explanation as a whole name; as a part of one, as ``reason_of_return``, often what is read."""
REFERENCES: Final = _words("references")
SYSTEM: Final = _words("system")
HISTORY: Final = _words("history")
CHOSEN: Final = _words("chosen")
REJECTED: Final = _words("rejected")
INSTRUCTION: Final = _words("instruction anweisung instruccion instruction istruzione инструкция")
LANGUAGES: Final = _words(
    """en de fr es it pt nl pl ru zh ja ko ar tr cs sv da fi no uk ro hu el english german french
    spanish italian portuguese dutch polish russian chinese japanese deutsch englisch franzosisch
    spanisch"""
)


def is_called(column: Column, names: frozenset[str]) -> bool:
    """Whether a column's name, or a word of it, is among names."""
    return bool(column.names & names)


def explains(column: Column) -> bool:
    """Whether a column, by its name, says why an answer is right, and so mostly which one is."""
    return is_called(column, EXPLANATION) or column.names <= REASON


def first_called(columns: tuple[Column, ...], names: frozenset[str]) -> Column | None:
    """The first column that is called so; one whose whole name it is goes before others."""
    whole = [c for c in columns if len(c.names) == 1 and is_called(c, names)]
    return next(iter([*whole, *(c for c in columns if is_called(c, names))]), None)
