-- Sends every CT series that has stopped growing to Lungscope, by STOW-RS and in the background.
-- Results come back as SR, SEG and secondary capture; they are not CT, so nothing goes round in circles.
function OnStableSeries(seriesId, tags, metadata)
  if tags['Modality'] == 'CT' then
    local job = { Resources = { seriesId }, Synchronous = false }
    RestApiPost('/dicom-web/servers/lungscope/stow', DumpJson(job, true))
  end
end
