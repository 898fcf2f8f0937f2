/** `GET /api/v1/system`, the part that the socket does not tell. */
export interface SystemFacts {
  queries: { name: string; kind: 'view' | 'rule'; title: string; state: string; reason: string | null }[]
  dead_letters: { topic: string; stage: string; error_code: string; field: string | null; count: number }[]
}
